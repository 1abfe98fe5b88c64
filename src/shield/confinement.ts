import type { UserIds } from '../os/processes/users.ts'

/** What a daemon is confined to that runs as a user of its own. */
export interface Confinement extends UserIds {
  /** The file of setpriv(1). */
  readonly setpriv: string
}

/** A file that is executed, and its arguments, the name that it is called by first. */
interface Executed {
  readonly file: string
  readonly args: readonly string[]
}

/** Has setpriv(1) execute a file as a user without groups and capabilities, who cannot gain any (PR_SET_NO_NEW_PRIVS). */
export function confined({ setpriv, uid, gid }: Confinement, { file, args }: Executed): Executed {
  const options = [
    ...['--reuid', String(uid), '--regid', String(gid), '--clear-groups'],
    ...['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs'],
    // The kernel clears what the launcher has set when the user changes.
    ...['--pdeathsig', 'TERM'],
  ]
  return { file: setpriv, args: ['setpriv', ...options, '--', file, ...args.slice(1)] }
}
