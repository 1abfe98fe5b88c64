import { closeSync, writeSync } from 'node:fs'
import { messageOf, ProgramError } from '../../errors.ts'
import type { Libc } from '../libc.ts'

const MFD_CLOEXEC = 1

/** The launcher's exit status when it could not execute the program (systemd's EXIT_EXEC); as in launcher-end.s. */
export const EXEC_FAILED = 203

/** Each launcher: its name among the assets of the executable, and its source below src, which says what it does. build.mjs assembles them. */
export const LAUNCHERS = {
  keep: { asset: 'keep-launcher', source: 'keeper/launcher.s' },
  shield: { asset: 'shield-launcher', source: 'shield/launcher.s' },
} as const

/** The launcher for the process with this id that starts it: the id stands in its last four bytes. */
function launcherOf(starter: number, image: Buffer): Buffer {
  const own = Buffer.from(image)
  own.writeInt32LE(starter, own.length - 4)
  return own
}

/** A file without a name that is executed in place of a program, and executes that. */
export class Launcher {
  readonly #fd: number

  /** `image`: an asset of {@link LAUNCHERS}. Throws ProgramError, status 1. */
  constructor(libc: Libc, image: Buffer) {
    try {
      this.#fd = libc.checked('memfd_create', undefined, 'int memfd_create(str, uint)', 'dummy-fuse-launcher', MFD_CLOEXEC)
      writeSync(this.#fd, launcherOf(process.pid, image))
    } catch (error) {
      const advice = 'the sysctl vm.memfd_noexec must not be 2'
      throw new ProgramError(`cannot make an executable file in memory: ${messageOf(error)}; ${advice}`, 1, { cause: error })
    }
  }

  /** By way of our id: /proc/self would be the child's, where another descriptor may have taken the number. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`
  }

  close(): void {
    closeSync(this.#fd)
  }
}
