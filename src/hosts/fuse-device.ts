import { closeSync, openSync } from 'node:fs'
import { codeOf, messageOf } from '../errors.ts'

/** What keeps daemons that we start from serving, as a line for people; undefined if /dev/fuse can be opened. */
export function fuseDeviceProblem(): string | undefined {
  try {
    closeSync(openSync('/dev/fuse', 'r+'))
    return undefined
  } catch (error) {
    const absent = codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV'
    const hint = absent
      ? "run 'modprobe fuse', or give the device to this container"
      : 'make it readable and writable for root, and allow c 10:229 to this container'
    return `cannot open /dev/fuse: ${messageOf(error)}; ${hint}`
  }
}
