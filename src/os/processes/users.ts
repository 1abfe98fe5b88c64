import { readFileSync } from 'node:fs'

/** Who a process is. */
export interface UserIds {
  readonly uid: number
  readonly gid: number
}

/** The largest id that setresuid(2) takes. */
const LARGEST = 2 ** 32 - 2

/** Reads a user: `UID:GID`, or a name of /etc/passwd, whose group is the one that is named there. Undefined if there is none. Throws Node's error. */
export function userOf(text: string): UserIds | undefined {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? entryOf(text)
  const ids = { uid: Number(uid), gid: Number(gid) }
  return uid !== undefined && ids.uid <= LARGEST && ids.gid <= LARGEST ? ids : undefined
}

/** The line of a name (passwd(5)), and its two ids. */
function entryOf(name: string): readonly string[] {
  const fields = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([login]) => login === name && name !== '')
  return fields === undefined ? [] : [name, ...fields.slice(2, 4)]
}
