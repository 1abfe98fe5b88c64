import { closeSync, existsSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { InheritedDescriptor } from '../os/descriptors/inherited.ts'
import type { Libc } from '../os/libc.ts'
import { type Datagram, DatagramSocket, sendDatagram } from '../os/sockets/unix-datagram.ts'
import { LONGEST, parseNotice } from '../sd/notify-message.ts'
import { isFull, storeMessage } from '../sd/notify-sender.ts'
import { fetchSocket } from './standby-socket.ts'

/** Milliseconds between two looks at the socket. */
const PAUSE = 1

/**
 * Asks a standby for copies of all devices that it has. A successor calls this if there are records without a descriptor: its service manager may have
 * ended with the predecessor. It blocks this thread until the last copy is there, for up to `deadline` milliseconds; the standby serves the sessions
 * meanwhile. Returns fewer devices, or none, if there is no standby or a failure, which is logged.
 */
export function fetchDevices(libc: Libc, standby: string, deadline: number, log: Logger): readonly InheritedDescriptor[] {
  if (!existsSync(standby)) return []
  const path = fetchSocket(standby)
  const fetched: InheritedDescriptor[] = []
  try {
    rmSync(path, { force: true })
    const socket = DatagramSocket.bind(libc, path, LONGEST)
    try {
      sendDatagram(libc, standby, Buffer.from('X_FETCH=1'))
      receiveUntilBarrier(socket, deadline, fetched)
    } finally {
      closeSync(socket.fd)
      rmSync(path, { force: true })
    }
  } catch (error) {
    // A standby that has died leaves its socket.
    if (codeOf(error) !== 'ECONNREFUSED')
      log.error(`cannot get the sessions' descriptors from the standby: ${messageOf(error)}; it had handed over ${fetched.length}`)
  }
  return fetched
}

function receiveUntilBarrier(socket: DatagramSocket, deadline: number, fetched: InheritedDescriptor[]): void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const end = performance.now() + deadline
  for (;;) {
    const datagram = socket.receive()
    if (datagram !== undefined) {
      if (take(datagram, fetched)) return
    } else if (performance.now() > end) throw new Error(`it does not answer within ${deadline / 1000} s`)
    else Atomics.wait(pause, 0, 0, PAUSE)
  }
}

/** Adds what came; tells whether it was the last. */
function take({ payload, descriptors: [fd, ...others] }: Datagram, fetched: InheritedDescriptor[]): boolean {
  for (const other of others) closeSync(other)
  const notice = parseNotice(payload)
  if (typeof notice === 'string') {
    if (fd !== undefined) closeSync(fd)
    return false
  }
  if (fd !== undefined) {
    if (notice.store === undefined) closeSync(fd)
    else fetched.push({ fd, name: notice.store.name })
  }
  return notice.barrier
}

/** Milliseconds until a device is sent again after the successor's queue was full. */
const RETRY = 5

/**
 * A standby's answer: sends a successor a copy of each of its devices, and a barrier. `standby`: the path of its socket; `device`: the device of a session, undefined if
 * it has ended meanwhile. Resolves to how many it sent. Rejects with SystemError if the successor is gone.
 */
export async function sendDevices(
  libc: Libc,
  standby: string,
  ids: readonly string[],
  device: (id: string) => number | undefined,
): Promise<number> {
  const path = fetchSocket(standby)
  let count = 0
  for (const id of ids) {
    const send = (): boolean => {
      const fd = device(id)
      if (fd !== undefined) sendDatagram(libc, path, Buffer.from(storeMessage(id)), [fd])
      return fd !== undefined
    }
    if (await whenThereIsRoom(send)) count++
  }
  await whenThereIsRoom(() => sendDatagram(libc, path, Buffer.from('BARRIER=1')))
  return count
}

async function whenThereIsRoom<T>(send: () => T): Promise<T> {
  for (;;) {
    try {
      return send()
    } catch (error) {
      if (!isFull(error)) throw error
      await sleep(RETRY)
    }
  }
}
