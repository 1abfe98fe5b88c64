import { closeSync } from 'node:fs'
import { type CallContext, throwIfOver, unlessAborted } from '../../call-context.ts'
import { messageOf } from '../../errors.ts'
import { DetachedMount } from '../../os/mounts/detached-mount.ts'
import { type Libc, MNT_DETACH } from '../../os/libc.ts'
import { deviceAt, openMountTable } from '../../os/mounts/mount-table.ts'
import type { RunningSession, SessionRunner } from './attached-session.ts'
import { openFuseDevice } from './device.ts'
import type { Attachment } from './messages.ts'
import { mountArguments } from './mount-options.ts'
import type { Negotiated } from './negotiated.ts'

/** A session to be mounted. */
export interface MountOrder extends Omit<Attachment, 'fd' | 'resend'> {
  /** An absolute path. */
  readonly mountpoint: string
  /** Called before INIT is answered, if it is held, with the super block's `major:minor`; what it rejects with ends the mount. */
  readonly beforeInit?: (negotiated: Negotiated, device: string) => Promise<void>
  /** The time for the mount. Once it is over, no step begins. */
  readonly time: Pick<CallContext, 'signal' | 'remaining'>
}

/** A mount of a device. It is moved to its path when INIT has been answered; before Linux 5.2 it is there from the start. */
interface Mounting {
  readonly device: string
  attach(): void
  /** Unmounts it. */
  undo(): void
}

/**
 * Mounts a session. Resolves once INIT has been answered and the mount is at its path. The mount is moved there in the last step (before Linux 5.2,
 * in the first). Rejects with SystemError, the signal's reason or Error; then nothing is mounted, and the runner closes the descriptor.
 */
export async function mountSession(libc: Libc, runner: SessionRunner, order: MountOrder): Promise<RunningSession> {
  const { id, options, faults, holdInit, mountpoint, time } = order
  throwIfOver(time)
  const fd = openFuseDevice()
  let mounting: Mounting | undefined
  let running: RunningSession | undefined
  try {
    mounting = begin(libc, fd, mountpoint, options)
    running = runner.attach({ id, fd, options, faults, resend: false, holdInit })
    await unlessAborted(Promise.race([initialise(running, mounting.device, order), failure(running)]), time.signal)
    throwIfOver(time)
    mounting.attach()
    return running
  } catch (error) {
    try {
      mounting?.undo()
    } catch (undoing) {
      throw new Error(`${messageOf(error)}; and ${mountpoint} cannot be unmounted: ${messageOf(undoing)}`, { cause: error })
    } finally {
      if (running === undefined) closeSync(fd)
      else running.detach()
    }
    throw error
  }
}

function begin(libc: Libc, fd: number, mountpoint: string, options: readonly string[]): Mounting {
  const wanted = mountArguments(options)
  const data = `fd=${fd},${wanted.data}`
  const detached = DetachedMount.create(libc, { ...wanted, data })
  if (detached !== undefined)
    return { device: detached.device, attach: () => detached.attach(mountpoint), undo: () => detached.close() }
  libc.mount(wanted.source, mountpoint, wanted.type, wanted.flags, data)
  const device = deviceAt(openMountTable(libc), mountpoint) ?? ''
  return { device, attach: () => undefined, undo: () => libc.umount(mountpoint, MNT_DETACH) }
}

async function initialise(running: RunningSession, device: string, { beforeInit, time }: MountOrder): Promise<void> {
  const negotiated = await running.initialising
  if (beforeInit !== undefined) {
    throwIfOver(time)
    await beforeInit(negotiated, device)
    throwIfOver(time)
    running.answerInit()
  }
  await running.initialised
}

async function failure(running: RunningSession): Promise<never> {
  const outcome = await running.ended
  throw new Error(outcome.kind === 'refused' ? outcome.message : 'its connection was cut before INIT was answered')
}
