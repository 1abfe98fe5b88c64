import { closeSync, writeSync } from 'node:fs'
import { messageOf, ProgramError } from '../errors.ts'
import type { Libc } from '../os/libc.ts'

const MFD_CLOEXEC = 1

/** What stands for a process's own id in the environment that the launcher is given: the launcher writes the id over it. */
export const OWN_PID = '0000000000'

/** The launcher's exit status when it could not execute the program (systemd's EXIT_EXEC); as in launcher.s. */
export const EXEC_FAILED = 203

/** The launcher's name among the assets of the executable. build.mjs assembles it from launcher.s, which says what it does. */
export const LAUNCHER_ASSET = 'keep-launcher'

/** The launcher for the keeper with this process id, which stands in its last four bytes. */
function launcherOf(keeper: number, image: Buffer): Buffer {
  const own = Buffer.from(image)
  own.writeInt32LE(keeper, own.length - 4)
  return own
}

/** A file without a name that is executed in place of a program, and executes that. */
export class Launcher {
  readonly #fd: number

  /** `image`: the asset {@link LAUNCHER_ASSET}. Throws ProgramError, status 1. */
  constructor(libc: Libc, image: Buffer) {
    try {
      this.#fd = libc.checked('memfd_create', undefined, 'int memfd_create(str, uint)', 'dummy-fuse-keep', MFD_CLOEXEC)
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
