import { Command } from '../../keeper/command.ts'
import type { Libc } from '../../os/libc.ts'
import { detachDead } from '../../os/mounts/leftover.ts'
import { deviceAt, openMountTable } from '../../os/mounts/mount-table.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { setProcessName } from '../../os/processes/process-name.ts'
import { allShields, forgetKilled, mountNamespace } from '../../shield/control-folder.ts'
import { StarterChannel } from '../dummy-fuse/channel.ts'
import { preflight } from '../dummy-fuse/preflight.ts'
import { keepProgram } from '../keep/program.ts'
import type { ProgramContext } from '../program.ts'
import { SHIELD_LIMITS } from './limits.ts'
import type { Messages } from './messages.ts'
import type { ShieldOptions } from './options.ts'
import { allowedMountPoint } from './serve.ts'

/** An exit status of more says that a signal ended the shield. */
const KILLED = 128

/** Has the process id of the keeper in the environment of a shield that runs below a keeper of its own. */
const KEEPER = 'DUMMY_SHIELD_KEEPER'

/** The process of this shield's own keeper; undefined if it has none. Takes it out of the environment, so that no daemon inherits it. */
export function takeKeeper(env: NodeJS.ProcessEnv): number | undefined {
  const text = env[KEEPER]
  Reflect.deleteProperty(env, KEEPER)
  return text === String(process.ppid) ? process.ppid : undefined
}

/** What the keeper of a shield needs from outside. */
interface KeptContext {
  readonly libc: Libc
  readonly messages: Messages
  /** In the background: where the process that started this one waits for the mount. */
  readonly readyFd: number | undefined
}

/** Runs the shield below a keeper of its own, in a process beside it: its descriptors are kept when it is killed. Resolves to the shield's exit status. */
export async function keepShield(
  { args, env, self }: ProgramContext,
  { mountpoint: given, giveUp, nonempty, resume }: ShieldOptions,
  { libc, messages, readyFd }: KeptContext,
): Promise<number> {
  setProcessName('dummy-fuse-keep')
  const starter = readyFd === undefined ? undefined : new Starter(libc, readyFd)
  const table = openMountTable(libc)
  // What is there is the shield's own.
  const mountpoint = resume ? given : await preflight(given, allowedMountPoint({ nonempty }), () => table)
  const before = resume ? undefined : deviceAt(table, mountpoint)
  const { executable, args: words, argv0 } = self(args)
  const status = await keepProgram({
    command: new Command([argv0, ...words], { ...env, [KEEPER]: String(process.pid) }, executable),
    options: {
      socket: [],
      storeMax: 16,
      stopTimeout: SHIELD_LIMITS.stop / 1000,
      takeoverDeadline: Math.max(giveUp, SHIELD_LIMITS.takeover) / 1000,
      restart: 'after a signal',
    },
    hangUp: 'stop',
    log: messages.keeperLog,
    ready: () => {
      messages.leaveTerminal()
      starter?.ready()
    },
    stop: starter?.lost,
  })
  // A shield that was killed while it was being stopped, or before it could heed the signal, has not unmounted.
  if (status === STATUS.ok || status > KILLED) await detachDead(table, () => libc, mountpoint, before)
  for (const found of allShields())
    if (found.record.keeper?.pid === process.pid && found.record.mountNamespace === mountNamespace()) forgetKilled(libc, found)
  return status
}

/** The process that waits for a mount in the background. */
class Starter {
  readonly #channel: StarterChannel
  readonly #lost = Promise.withResolvers<undefined>()
  readonly #watch: Disposable
  #told = false

  constructor(libc: Libc, readyFd: number) {
    libc.closeOnExec(readyFd)
    this.#channel = new StarterChannel(readyFd)
    this.#watch = this.#channel.onLost(() => this.#lost.resolve(undefined))
  }

  /** Resolves only if it goes away before the mount stands: a mount that nobody waits for must not appear. */
  get lost(): Promise<undefined> {
    return this.#lost.promise
  }

  /** The mount stands. */
  ready(): void {
    if (this.#told) return
    this.#told = true
    this.#tell().catch(() => this.#lost.resolve(undefined))
  }

  async #tell(): Promise<void> {
    if (!(await this.#channel.say('ready'))) {
      this.#lost.resolve(undefined)
      return
    }
    this.#watch[Symbol.dispose]()
    this.#channel.release()
  }
}
