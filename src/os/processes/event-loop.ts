import type { Callable, Libc } from '../libc.ts'

/**
 * libuv's event loop of the main thread (uv_default_loop(3)), for a caller that waits in epoll_wait(2) for descriptors of its own and must not keep
 * Node's signals, streams, child processes and timers waiting. libuv documents this use: wait on the backend descriptor for as long as the backend
 * timeout says, then run the loop (docs.libuv.org, uv_backend_fd).
 */
export class EventLoop {
  /** Readable when the loop has something to run, timers apart. It is an epoll(7) descriptor, and can be watched by another. */
  readonly fd: number
  readonly #loop: unknown
  readonly #updateTime: Callable
  readonly #backendTimeout: Callable

  constructor(libc: Libc) {
    this.#loop = libc.exported('void *uv_default_loop()')()
    this.#updateTime = libc.exported('void uv_update_time(void *)')
    this.#backendTimeout = libc.exported('int uv_backend_timeout(void *)')
    this.fd = Number(libc.exported('int uv_backend_fd(void *)')(this.#loop))
  }

  /** To be called in each callback of setImmediate() that goes on to ask for the {@link timeout}. */
  beginTurn(): void {
    // Node lets the loop wait again only when every setImmediate() has run or is cleared.
    clearImmediate(setImmediate(nothing))
  }

  /** Milliseconds until the loop must run: 0 when it has something to do already, or nothing to live for; -1: for as long as {@link fd} is not readable. */
  timeout(): number {
    this.#updateTime(this.#loop)
    return Number(this.#backendTimeout(this.#loop))
  }
}

function nothing(): void {
  // It is cleared before it is called.
}
