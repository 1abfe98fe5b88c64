import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CallContext } from '../call-context.ts'
import { codeOf, messageOf } from '../errors.ts'
import { DetachedBind, setAttributes } from '../os/mounts/detached-bind.ts'
import { type Libc, MS } from '../os/libc.ts'
import { flagsOfAttributes } from '../os/mounts/mount-attributes.ts'
import type { PinnedPaths } from '../os/mounts/pinned-paths.ts'
import { fromErrno, VolumeError } from './errors.ts'
import type { Mounts } from './mounts.ts'

/** A mount that is busy is asked so often, with so many milliseconds in between. */
const BUSY_ATTEMPTS = 20
const BUSY_PAUSE = 5

/** A session to be bound. */
export interface BindOrder {
  /** Where it is mounted. */
  readonly source: string
  /** Its super block, `major:minor`. */
  readonly device: string
  /** A directory. */
  readonly target: string
  /** MOUNT_ATTR_* that the bind is to have, exactly. */
  readonly attributes: number
}

/** Binds sessions to targets. A bind is whole, with its attributes, before it can be seen. */
export class Binds {
  readonly #libc: Libc
  readonly #places: PinnedPaths
  readonly #mounts: Mounts

  constructor(libc: Libc, places: PinnedPaths, mounts: Mounts) {
    this.#libc = libc
    this.#places = places
    this.#mounts = mounts
  }

  /**
   * Binds a session to a directory that nothing is mounted on. It makes sure that it is this session which it binds: what the source shows
   * could be the empty directory below it (blobfuse2 #1079). Rejects with VolumeError; then nothing is mounted.
   */
  async bind(order: BindOrder): Promise<void> {
    await this.#attach(order, (detached) => this.#withDirectory(order.target, (target) => detached.attach(target)))
  }

  /**
   * Binds a session in place of what is mounted at the target: where the kernel can mount beneath (Linux 6.5), readers find the one or the other
   * at each moment, and never the directory below both. Rejects with VolumeError.
   */
  async rebind(order: BindOrder): Promise<void> {
    await this.#attach(order, async (detached) => {
      if (this.#withDirectory(order.target, (target) => detached.attachBeneath(target)))
        await this.#mounts.uncover(order.target, order.device)
      else {
        await this.#mounts.clear(order.target, false)
        this.#withDirectory(order.target, (below) => detached.attach(below))
      }
    })
  }

  /**
   * Gives what is mounted at a path exactly these MOUNT_ATTR_*, while it serves. Rejects with VolumeError, `unavailable` where files that are open for
   * writing keep it from being read-only, or the reason of the call's signal.
   */
  async setAttributes(path: string, attributes: number, call: CallContext): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      call.signal.throwIfAborted()
      try {
        if (!this.#withDirectory(path, (fd) => setAttributes(this.#libc, fd, attributes))) this.#remount(path, attributes)
        return
      } catch (error) {
        // A file that is just being opened or made keeps it writable for a moment.
        if (codeOf(error) !== 'EBUSY' || attempt === BUSY_ATTEMPTS)
          throw fromErrno(error, `cannot change the mount at ${path}: ${messageOf(error)}`)
        await sleep(BUSY_PAUSE)
      }
    }
  }

  /** Binds without a look at what is bound: the flaw of the drivers of #1079, for the lab. */
  bindBlindly(source: string, target: string): void {
    this.#libc.mount(source, target, null, MS.BIND, null)
  }

  async #attach(
    { source, device, target, attributes }: BindOrder,
    attach: (detached: DetachedBind) => Promise<void> | void,
  ): Promise<void> {
    try {
      using detached = this.#withDirectory(source, (fd) => DetachedBind.of(this.#libc, fd))
      if (detached === undefined) {
        await this.#attachByPath({ source, device, target, attributes })
        return
      }
      if (detached.device !== device) throw changed(source, target)
      const set = detached.setAttributes(attributes)
      await attach(detached)
      // The directory may have been moved away since it was opened.
      if (this.#places.deviceAt(target) !== device) {
        detached.detach()
        throw new VolumeError('unavailable', `${target} was moved while ${source} was bound to it; call again`)
      }
      if (!set) this.#remount(target, attributes)
    } catch (error) {
      if (error instanceof VolumeError) throw error
      throw fromErrno(error, `cannot bind ${source} to ${target}: ${messageOf(error)}`)
    }
  }

  /** Before Linux 5.2 a bind is seen before it can be looked at. */
  async #attachByPath({ source, device, target, attributes }: BindOrder): Promise<void> {
    await this.#mounts.clear(target, false)
    this.#libc.mount(source, target, null, MS.BIND, null)
    try {
      if (this.#mounts.mountAt(target)?.device !== device) throw changed(source, target)
      this.#remount(target, attributes)
    } catch (error) {
      await this.#mounts.clear(target, false)
      throw error
    }
  }

  /** Calls `act` with an O_PATH descriptor of a directory. */
  #withDirectory<T>(path: string, act: (fd: number) => T): T {
    const fd = this.#places.open(path)
    try {
      return act(fd)
    } finally {
      closeSync(fd)
    }
  }

  #remount(path: string, attributes: number): void {
    this.#libc.mount('none', path, null, MS.REMOUNT | MS.BIND | flagsOfAttributes(attributes), null)
  }
}

function changed(source: string, target: string): VolumeError {
  return new VolumeError('unavailable', `${source} changed while it was bound to ${target}; call again`)
}
