import Fuse, { type Operations } from 'fuse-native'
import { closeSync, readdirSync, readlinkSync } from 'node:fs'
import { wake } from '../../os/descriptors/eventfd.ts'
import { type Libc, MS } from '../../os/libc.ts'
import { MountinfoTable } from '../../os/mounts/mount-table.ts'
import { OwnMount } from '../../os/mounts/own-mount.ts'
import type { Backend, Session, SessionEnd } from '../backend.ts'
import type { FileSystem } from '../filesystem.ts'
import { binding } from './binding.ts'
import { operations } from './operations.ts'
import { divideOptions } from './options.ts'

/** libfuse copies both into arrays of 1,024 bytes (fuse-native.c) and would cut what is longer. */
const LIMIT = 1023
const POLLIN = 1

/** Holds INIT back for as long as the returned promise takes: for faults on purpose. */
export type InitHook = () => Promise<void>

/** Serves by libfuse 2.9, through fuse-native. */
export class NativeBackend implements Backend {
  readonly #filesystem: FileSystem
  readonly #libc: () => Libc
  readonly #beforeInit: InitHook

  /** `libc` is loaded after the mount, so that the load delays no caller. */
  constructor(filesystem: FileSystem, libc: () => Libc, beforeInit: InitHook) {
    this.#filesystem = filesystem
    this.#libc = libc
    this.#beforeInit = beforeInit
  }

  async mount(mountpoint: string, options: readonly string[]): Promise<Session> {
    // libfuse would number the nodes itself, and readdir's differently from stat's.
    const { libfuse, flags } = divideOptions(options)
    const joined = `-o${['use_ino', ...libfuse].join(',')}`
    if (Buffer.byteLength(mountpoint) > LIMIT) throw new Error(`the path is longer than the ${LIMIT} bytes that fuse-native takes`)
    if (Buffer.byteLength(joined) > LIMIT)
      throw new Error(`the mount options are longer than the ${LIMIT} bytes that fuse-native takes`)
    const initialised = Promise.withResolvers<undefined>()
    const init: Operations['init'] = (done) => {
      this.#beforeInit()
        .then(() => {
          done(0)
          // fuse-native hands the answer to libfuse's thread at the next tick.
          setImmediate(initialised.resolve, undefined)
        })
        .catch(initialised.reject)
    }
    const others = fuseDevices()
    const fuse = new DirectFuse(mountpoint, operations(this.#filesystem, init), joined)
    fuse.mount((error) => {
      if (error !== null) initialised.reject(error)
    })
    await initialised.promise
    if (flags !== undefined) this.#libc().mount('none', mountpoint, null, MS.REMOUNT | MS.BIND | flags, null)
    const device = fuseDevices().find((fd) => !others.includes(fd))
    return new NativeSession(mountpoint, this.#libc(), device)
  }

  close(): void {
    // libfuse has no handle that could be freed here.
  }
}

/**
 * The package's own _open() refuses a mount point whose st_dev differs from its parent's, which is so for every directory that a container runtime
 * has mounted. Its close() needs fusermount. Neither is called here.
 */
class DirectFuse extends Fuse {
  readonly #options: string

  constructor(mountpoint: string, ops: Operations, options: string) {
    super(mountpoint, ops, { timeout: false })
    this.#options = options
  }

  override _open(done: (error: Error | null) => void): void {
    this._thread = Buffer.alloc(binding.sizeof_fuse_thread_t)
    this._openCallback = done
    const malloc = this._malloc.bind(this)
    const implemented = this._getImplementedArray()
    try {
      binding.fuse_native_mount(this.mnt, this.#options, this._thread, this, malloc, this._handlers, implemented)
    } catch (error) {
      done(new Error('libfuse could not mount; what it said stands above', { cause: error }))
    }
  }
}

class NativeSession implements Session {
  // libfuse keeps the values to itself.
  readonly negotiated = undefined
  readonly ended: Promise<SessionEnd>
  readonly #mount: OwnMount
  readonly #libc: Libc
  readonly #wake: number

  /** `fd`: the descriptor that libfuse keeps to itself; undefined when its session is over already. */
  constructor(mountpoint: string, libc: Libc, fd: number | undefined) {
    this.#mount = new OwnMount(mountpoint, MountinfoTable.current(), libc)
    this.#libc = libc
    this.#wake = libc.eventfd()
    this.ended = this.#watch(fd)
  }

  close(): void {
    this.#mount.detach()
    wake(this.#wake)
  }

  /** libfuse's loop ends in silence, but a device whose connection is gone polls POLLERR (fs/fuse/dev.c, fuse_dev_poll). */
  async #watch(device: number | undefined): Promise<SessionEnd> {
    const watches = [{ fd: this.#wake, events: POLLIN }]
    if (device !== undefined) watches.push({ fd: device, events: 0 })
    // libuv joins its threads when the process exits, also after an uncaught exception. A thread that went on polling would leave the mount of a dead
    // daemon hung.
    const wakeUp = (): void => {
      wake(this.#wake)
    }
    process.once('exit', wakeUp)
    await this.#libc.pollAsync(watches)
    process.off('exit', wakeUp)
    closeSync(this.#wake)
    return this.#mount.there ? 'aborted' : 'unmounted'
  }
}

/** The process's descriptors of the FUSE device, without those that it inherited. */
function fuseDevices(): readonly number[] {
  const found = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse'
    } catch {
      return false
    }
  })
  return found.map(Number)
}
