import { closeSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { type Libc, MNT_DETACH } from '../../os/libc.ts'
import { connectionOf, openFuseDevice, requestSyncInit } from './device.ts'
import type { RunningSession, SessionRunner } from './attached-session.ts'
import type { Attachment } from './messages.ts'
import { mountArguments } from './mount-options.ts'
import type { Negotiated } from './negotiated.ts'

/** A session to be mounted. */
export interface MountOrder extends Omit<Attachment, 'fd' | 'resend'> {
  /** An absolute path. */
  readonly mountpoint: string
  /** What is to be done before INIT is answered, if it is held; what it rejects with refuses it. */
  readonly beforeInit?: (negotiated: Negotiated, fd: number) => Promise<void>
  /** When to give up. */
  readonly signal?: AbortSignal
}

const TOO_LONG = 'it took too long'

/**
 * Mounts and resolves once INIT has been answered. Where the kernel can (Linux 6.18) the mount is in no table before that. Rejects with
 * SystemError of mount(2), or Error; then nothing of it is mounted and its descriptor is closed.
 */
export async function mountSession(libc: Libc, runner: SessionRunner, order: MountOrder): Promise<RunningSession> {
  const fd = openFuseDevice()
  const attach = (): RunningSession => {
    const { id, options, faults, holdInit } = order
    const running = runner.attach({ id, fd, options, faults, resend: false, holdInit })
    if (order.beforeInit !== undefined) void answerAfter(order.beforeInit, running, fd, order.signal)
    const refuse = (): void => {
      running.refuseInit(TOO_LONG)
      // One that has not come yet is refused when it does.
      void running.initialising.then(() => {
        running.refuseInit(TOO_LONG)
      })
    }
    if (order.signal?.aborted === true) refuse()
    else order.signal?.addEventListener('abort', refuse)
    return running
  }
  let running: RunningSession | undefined
  let stands = false
  try {
    if (requestSyncInit(libc, fd)) {
      const mounted = mount(libc, order, fd)
      if (await reaches(mounted, fd)) running = attach()
      await mounted
    } else {
      const { source, type, flags, data } = mountArguments(order.options)
      libc.mount(source, order.mountpoint, type, flags, `fd=${fd},${data}`)
      stands = true
    }
    running ??= attach()
    await Promise.race([running.initialised, failure(running)])
    return running
  } catch (error) {
    if (stands) libc.umount(order.mountpoint, MNT_DETACH)
    if (running === undefined) closeSync(fd)
    else running.detach()
    throw error
  }
}

async function mount(libc: Libc, { mountpoint, options }: MountOrder, fd: number): Promise<void> {
  const { source, type, flags, data } = mountArguments(options)
  await libc.mountAsync(source, mountpoint, type, flags, `fd=${fd},${data}`)
}

/**
 * Waits until mount(2), in its own thread, has come to the device: until then whoever read it, or polled it, would wait in the kernel,
 * and for ever if that mount(2) failed. Tells whether it did.
 */
async function reaches(mounted: Promise<void>, fd: number): Promise<boolean> {
  const call = { over: false }
  const settle = (): void => {
    call.over = true
  }
  mounted.then(settle, settle)
  while (connectionOf(fd) === undefined) {
    await setImmediate()
    // Not before the look at the device: a mount that is over by now may have succeeded.
    if (call.over && connectionOf(fd) === undefined) return false
  }
  return true
}

async function answerAfter(
  act: (negotiated: Negotiated, fd: number) => Promise<void>,
  running: RunningSession,
  fd: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const negotiated = await running.initialising
  try {
    // One that is aborted before INIT has come has found nothing to refuse.
    if (signal?.aborted === true) throw new Error(TOO_LONG)
    await act(negotiated, fd)
    running.answerInit()
  } catch (error) {
    running.refuseInit(error)
  }
}

async function failure(running: RunningSession): Promise<never> {
  const outcome = await running.ended
  throw new Error(outcome.kind === 'refused' ? outcome.message : 'it was unmounted before it was there')
}
