import { closeSync, constants as fsConstants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'
import { getRawAsset, isSea } from 'node:sea'
import { codeOf, messageOf, ProgramError, SystemError } from '../errors.ts'
import { requireProc } from './processes/proc.ts'

/** glibc's RTLD_NODELETE (bits/dlfcn.h): what is loaded stays loaded. Node's constants lack it. */
const RTLD_NODELETE = 0x1000

/** open(2): a file without a name in the directory that is given. Node's constants lack it. */
const O_TMPFILE = 0o20200000

/** Where each native file lies below node_modules; its key is its name inside the executable (build.mjs reads this table). */
export const NATIVE_FILES = {
  'koffi.node': '@koromix/koffi-linux-x64/linux_x64/koffi.node',
  'fuse.node': 'fuse-native/prebuilds/linux-x64/node.napi.node',
  'libfuse.so.2': 'fuse-native/prebuilds/linux-x64/libfuse.so',
} as const

export type NativeFile = keyof typeof NATIVE_FILES

/**
 * Loads the addons that the executable carries inside. dlopen(3) wants a file on a file system that allows execution, so each is
 * written into a file without a name and loaded through its descriptor: there is no path under which another user could replace
 * it, nothing stays behind whenever the process is killed, and processes that start together do not meet.
 */
export class AddonLoader {
  readonly #directories: readonly string[]

  /** `directories`: where to unpack, the first that works is taken. */
  constructor(directories: readonly string[] = unpackDirectories(process.env)) {
    this.#directories = directories
  }

  /** Loads a Node-API addon and returns its exports. Throws a ProgramError that names every directory tried, or says that /proc is missing. */
  load(file: NativeFile): unknown {
    const module = { exports: {} as unknown }
    this.#withFile(file, (path) => {
      process.dlopen(module, path)
    })
    return module.exports
  }

  /** Loads a plain shared library for good, so that an addon that needs it finds it by its SONAME. */
  preload(file: NativeFile): void {
    this.#withFile(file, (path) => {
      try {
        process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_NODELETE)
      } catch (error) {
        // Node expects an addon to register itself. By then dlopen(3) has loaded the library, which is all that is needed.
        if (!messageOf(error).includes('did not self-register')) throw error
      }
    })
  }

  #withFile(file: NativeFile, load: (path: string) => void): void {
    if (!isSea()) {
      load(resolve(import.meta.dirname, '../../node_modules', NATIVE_FILES[file]))
      return
    }
    requireProc()
    const failures: string[] = []
    for (const directory of this.#directories) {
      try {
        withUnpacked(directory, file, load)
        return
      } catch (error) {
        refuseExhausted(error, file)
        failures.push(`${directory}: ${messageOf(error)}`)
      }
    }
    const advice = 'set TMPDIR to a writable directory that is not mounted noexec'
    throw new ProgramError(`cannot unpack ${file} anywhere that allows execution; ${advice} (${failures.join('; ')})`, 1)
  }
}

/** What dlopen(3) says, as glibc's strerror(3) has it, where another directory would not help. */
const LACKS = { EMFILE: 'Too many open files', ENFILE: 'Too many open files in system', ENOMEM: 'Cannot allocate memory' } as const

/** Throws SystemError if something of this node has run out. */
function refuseExhausted(error: unknown, file: NativeFile): void {
  for (const [code, text] of Object.entries(LACKS) as [keyof typeof LACKS, string][])
    if (codeOf(error) === code || messageOf(error).endsWith(text))
      throw new SystemError('dlopen', code, constants.errno[code], file)
}

function withUnpacked(directory: string, file: NativeFile, load: (path: string) => void): void {
  const fd = openNameless(directory)
  try {
    writeFileSync(fd, new Uint8Array(getRawAsset(file)))
    // dlopen(3) takes a path that it has seen for the library that it has loaded, and descriptors' numbers come again.
    const spelling = './'.repeat(Object.keys(NATIVE_FILES).indexOf(file))
    load(`/proc/self/fd/${spelling}${fd}`)
  } finally {
    closeSync(fd)
  }
}

function openNameless(directory: string): number {
  try {
    return openSync(directory, O_TMPFILE | fsConstants.O_RDWR, 0o500)
  } catch (error) {
    if (codeOf(error) !== 'EOPNOTSUPP' && codeOf(error) !== 'ENOTSUP' && codeOf(error) !== 'EISDIR') throw error
  }
  // NFS, and overlayfs before Linux 6.3, know no nameless files.
  const folder = mkdtempSync(join(directory, '.dummy-fuse-'))
  try {
    return openSync(join(folder, 'addon'), 'wx+', 0o500)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Debian mounts /run noexec and hardened nodes /tmp and /dev/shm too; /var/lib is left, for root. */
function unpackDirectories(env: NodeJS.ProcessEnv): readonly string[] {
  return [...(env.TMPDIR ? [env.TMPDIR] : []), '/var/lib', '/tmp', '/var/tmp', '/dev/shm', '/run']
}
