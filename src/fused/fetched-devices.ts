import { closeSync, existsSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { InheritedDescriptor } from '../os/descriptors/inherited.ts'
import type { Libc } from '../os/libc.ts'
import { SocketFile } from '../os/sockets/socket-file.ts'
import { type Datagram, DatagramSocket, sendDatagram } from '../os/sockets/unix-datagram.ts'
import { LONGEST, parseNotice } from '../sd/notify-message.ts'
import { isFull, storeMessage } from '../sd/notify-sender.ts'
import { fetchSocket } from './standby-socket.ts'

/** Milliseconds between two looks at the socket. */
const PAUSE = 2

/** What a standby has handed over. */
export interface Fetched {
  readonly devices: readonly InheritedDescriptor[]
  /** Whether these are all: false if a standby is there that has not answered in time, or something failed. */
  readonly complete: boolean
}

/** The dependencies of {@link fetchDevices}; times are milliseconds. */
export interface FetchParts {
  readonly libc: Libc
  /** The path of the standby's socket. */
  readonly standby: string
  /** For which a standby is waited for that does not answer. */
  readonly deadline: number
  /** For which the next standby is waited for, where one has left its socket; 0: not at all. */
  readonly absence: number
  readonly log: Logger
}

/**
 * Asks a standby for copies of all devices that it has; the standby serves the sessions meanwhile. A standby that ends before it has answered is started
 * again by its service manager, and asked again. Returns no devices if there is no standby. A failure is logged.
 */
export async function fetchDevices(parts: FetchParts): Promise<Fetched> {
  const { libc, standby, log } = parts
  if (!existsSync(standby)) return { devices: [], complete: true }
  const path = fetchSocket(standby)
  const fetched = new Map<string, number>()
  try {
    rmSync(path, { force: true })
    const socket = DatagramSocket.bind(libc, path, LONGEST)
    try {
      await receiveUntilBarrier(socket, parts, fetched)
      return { devices: devicesOf(fetched), complete: true }
    } finally {
      closeSync(socket.fd)
      rmSync(path, { force: true })
    }
  } catch (error) {
    log.error(`cannot get the sessions' descriptors from the standby: ${messageOf(error)}; it had handed over ${fetched.size}`)
    return { devices: devicesOf(fetched), complete: false }
  }
}

function devicesOf(fetched: ReadonlyMap<string, number>): readonly InheritedDescriptor[] {
  return [...fetched].map(([name, fd]) => ({ name, fd }))
}

/** Resolves when the standby has sent all, or none is there. Rejects with Error. */
async function receiveUntilBarrier(
  socket: DatagramSocket,
  { libc, standby, deadline, absence }: FetchParts,
  fetched: Map<string, number>,
): Promise<void> {
  const start = performance.now()
  let asked: SocketFile | undefined
  for (;;) {
    for (let datagram = socket.receive(); datagram !== undefined; datagram = socket.receive()) if (take(datagram, fetched)) return
    const waited = performance.now() - start
    if (asked !== undefined && (await asked.state()) !== 'there') asked = undefined
    if (asked === undefined) {
      const outcome = ask(libc, standby)
      if (outcome === 'absent' && waited >= absence) return
      if (outcome instanceof SocketFile) asked = outcome
    }
    if (waited > deadline) throw new Error(`it does not answer within ${deadline / 1000} s`)
    await sleep(PAUSE)
  }
}

/** Asks the standby that listens now, if one does, and if it has room for one more message. Throws SystemError. */
function ask(libc: Libc, standby: string): SocketFile | 'absent' | 'full' {
  const file = new SocketFile(standby)
  try {
    sendDatagram(libc, standby, Buffer.from('X_FETCH=1'))
    return file
  } catch (error) {
    // A standby that has died leaves its socket; another one removes that before it makes its own.
    if (codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOENT') return 'absent'
    if (isFull(error)) return 'full'
    throw error
  }
}

/** Adds what came; tells whether it was the last. */
function take({ payload, descriptors: [fd, ...others] }: Datagram, fetched: Map<string, number>): boolean {
  for (const other of others) closeSync(other)
  const notice = parseNotice(payload)
  if (typeof notice === 'string') {
    if (fd !== undefined) closeSync(fd)
    return false
  }
  if (fd !== undefined) {
    // One that was asked twice sends what has come already.
    if (notice.store === undefined || fetched.has(notice.store.name)) closeSync(fd)
    else fetched.set(notice.store.name, fd)
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
