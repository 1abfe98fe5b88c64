import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CallContext } from '../call-context.ts'
import { codeOf, messageOf } from '../errors.ts'
import { CoveredLayers } from '../os/mounts/covered-layers.ts'
import { DetachedBind, setAttributes } from '../os/mounts/detached-bind.ts'
import { type Libc, MS } from '../os/libc.ts'
import { flagsOfAttributes } from '../os/mounts/mount-flags.ts'
import type { PinnedPaths } from '../os/mounts/pinned-paths.ts'
import { fromErrno, VolumeError } from './errors.ts'
import type { MountPoints } from './mount-points.ts'
import type { MountStates } from './mount-states.ts'

/** From this count of layers on, one that cannot be taken off from below another is replaced. */
const MOST_STACKED = 8

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

/** The dependencies of {@link Binds}. */
export interface BindsParts {
  readonly libc: Libc
  readonly pinnedPaths: PinnedPaths
  readonly states: Pick<MountStates, 'mountAt' | 'layersAt'>
  readonly points: Pick<MountPoints, 'unmountAll' | 'unmountAbove'>
  /** How often the attributes of a busy mount are set, and the milliseconds between two attempts. */
  readonly limits: { readonly busyAttempts: number; readonly busyPause: number }
}

/** Binds sessions to targets. The attributes of a bind are set before the bind is visible. */
export class Binds {
  readonly #libc: Libc
  readonly #pinnedPaths: PinnedPaths
  readonly #states: BindsParts['states']
  readonly #points: BindsParts['points']
  readonly #limits: BindsParts['limits']

  constructor({ libc, pinnedPaths, states, points, limits }: BindsParts) {
    this.#limits = limits
    this.#libc = libc
    this.#pinnedPaths = pinnedPaths
    this.#states = states
    this.#points = points
  }

  /**
   * Binds a session to a directory without a mount. Each bind has a peer group of its own (Linux 5.12), so that a mount on one target does not
   * propagate to the others of the volume. Checks that the source shows this session, and not the empty directory below it (blobfuse2
   * #1079). Rejects with VolumeError; then nothing is mounted.
   */
  async bind(order: BindOrder): Promise<void> {
    await this.#attach(order, (detached) => this.#withDirectory(order.target, (target) => detached.attach(target)))
  }

  /**
   * Replaces what is mounted at the target by a bind of a session. Where the kernel can mount beneath (Linux 6.5), a reader finds either mount at
   * each moment, and never the directory below both. Rejects with VolumeError.
   */
  async rebind(order: BindOrder): Promise<void> {
    await this.#attach(order, async (detached) => {
      if (this.#withDirectory(order.target, (target) => detached.attachBeneath(target)))
        await this.#points.unmountAbove(order.target, order.device)
      else {
        await this.#points.unmountAll(order.target, 'own')
        this.#withDirectory(order.target, (below) => detached.attach(below))
      }
    })
  }

  /**
   * Attaches a bind of a session on top of the dead mounts at the target. It propagates to the peers and slaves of the topmost of them: to mount
   * namespaces that have a bind of the target at a path of their own, with whichever session they began. All dead mounts but the lowest are taken off
   * afterwards, so the target has two layers however often this is done. The lowest stays, because the namespaces that began with it have it below too.
   * Resolves to why more of them stay, as words for people; undefined if none do. Rejects with VolumeError; then nothing new is mounted.
   */
  async stack(order: BindOrder): Promise<string | undefined> {
    const { target } = order
    const devices = this.#states.layersAt(target).map(({ device }) => device)
    const held = devices.length > 1 ? this.#hold(target, devices) : undefined
    if (typeof held === 'string') {
      if (devices.length < MOST_STACKED) await this.#attachOnTop(order)
      else await this.rebind(order)
      return held
    }
    using covered = held
    await this.#attachOnTop(order)
    return covered === undefined ? undefined : failureOf(() => covered.takeOff())
  }

  /**
   * Sets the MOUNT_ATTR_* of the mount at a path to exactly these, while it serves. Rejects with VolumeError, `unavailable` where a file that is open
   * for writing keeps the mount writable, or with the reason of the call's signal.
   */
  async setAttributes(path: string, attributes: number, call: CallContext): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      call.signal.throwIfAborted()
      try {
        if (!this.#withDirectory(path, (fd) => setAttributes(this.#libc, fd, attributes))) this.#remount(path, attributes)
        return
      } catch (error) {
        // A file that is being opened or created keeps the mount writable for a moment.
        if (codeOf(error) !== 'EBUSY' || attempt >= this.#limits.busyAttempts)
          throw fromErrno(error, `cannot change the mount at ${path}: ${messageOf(error)}`)
        await sleep(this.#limits.busyPause)
      }
    }
  }

  /** Binds without a check of the source: the flaw of the drivers of #1079, for the lab. */
  bindBlindly(source: string, target: string): void {
    this.#libc.mount(source, target, null, MS.BIND, null)
  }

  async #attachOnTop(order: BindOrder): Promise<void> {
    await this.#attach(order, (detached) => this.#withDirectory(order.target, (top) => detached.attach(top)))
  }

  /** The layers of a target that are to be taken off once another is on top, or why they cannot be. */
  #hold(target: string, devices: readonly string[]): CoveredLayers | string {
    try {
      return new CoveredLayers(this.#libc, this.#pinnedPaths, target, devices)
    } catch (error) {
      return messageOf(error)
    }
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
      if (this.#pinnedPaths.deviceAt(target) !== device) {
        detached.detach()
        throw new VolumeError('unavailable', `${target} was moved while ${source} was bound to it; call again`)
      }
      if (!set) this.#remount(target, attributes)
    } catch (error) {
      if (error instanceof VolumeError) throw error
      throw fromErrno(error, `cannot bind ${source} to ${target}: ${messageOf(error)}`)
    }
  }

  /** Before Linux 5.2, which has no open_tree(2), a bind is visible before it can be checked. */
  async #attachByPath({ source, device, target, attributes }: BindOrder): Promise<void> {
    await this.#points.unmountAll(target, 'own')
    this.#libc.mount(source, target, null, MS.BIND, null)
    try {
      if (this.#states.mountAt(target)?.device !== device) throw changed(source, target)
      this.#remount(target, attributes)
    } catch (error) {
      await this.#points.unmountAll(target, 'own')
      throw error
    }
  }

  /** Calls `act` with an O_PATH descriptor of a directory. */
  #withDirectory<T>(path: string, act: (fd: number) => T): T {
    const fd = this.#pinnedPaths.open(path)
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

/** Why `act` fails, as words for people; undefined if it does not. */
function failureOf(act: () => void): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
