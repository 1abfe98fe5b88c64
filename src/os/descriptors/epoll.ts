import { closeSync } from 'node:fs'
import type { Callable, Libc } from '../libc.ts'

/** epoll_event.events, include/uapi/linux/eventpoll.h. */
const EPOLL = { IN: 1, ERR: 8, HUP: 16 } as const

const EPOLL_CLOEXEC = 0o2000000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2

/** struct epoll_event is packed on x86-64: 32 bits of events, 64 of data. */
const EVENT_SIZE = 12
/** Events that are taken at once; the others come with the next call. */
const MOST_EVENTS = 64
const EINTR = 4

/** Waits for any of many descriptors, level-triggered (epoll(7)). */
export class Epoll {
  readonly fd: number
  readonly #libc: Libc
  readonly #events = Buffer.alloc(EVENT_SIZE * MOST_EVENTS)
  readonly #wait: Callable
  readonly #control: Callable

  constructor(libc: Libc) {
    this.#libc = libc
    this.#wait = libc.foreign('int epoll_wait(int, void *, int, int)')
    this.#control = libc.foreign('int epoll_ctl(int, int, int, void *)')
    this.fd = Number(libc.foreign('int epoll_create1(int)')(EPOLL_CLOEXEC))
    if (this.fd < 0) throw libc.lastError('epoll_create1')
  }

  /** Watches a descriptor for reading; errors and hang-up come unasked. Throws SystemError. */
  add(fd: number): void {
    const event = Buffer.alloc(EVENT_SIZE)
    event.writeUInt32LE(EPOLL.IN, 0)
    event.writeInt32LE(fd, 4)
    if (Number(this.#control(this.fd, EPOLL_CTL_ADD, fd, event)) < 0) throw this.#libc.lastError('epoll_ctl')
  }

  /** Stops watching a descriptor that is still open. Throws SystemError. */
  remove(fd: number): void {
    if (Number(this.#control(this.fd, EPOLL_CTL_DEL, fd, this.#events)) < 0) throw this.#libc.lastError('epoll_ctl')
  }

  /** Waits up to `timeout` milliseconds (-1: for ever, 0: not at all); the number of events there are. Throws SystemError. */
  wait(timeout: number): number {
    const count = Number(this.#wait(this.fd, this.#events, MOST_EVENTS, timeout))
    if (count >= 0) return count
    if (this.#libc.errno() === EINTR) return 0
    throw this.#libc.lastError('epoll_wait')
  }

  /** The descriptor of the event at `index` of the last {@link wait}. */
  descriptor(index: number): number {
    return this.#events.readInt32LE(EVENT_SIZE * index + 4)
  }

  close(): void {
    closeSync(this.fd)
  }
}
