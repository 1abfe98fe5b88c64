import type { UnaryInterceptor } from './service.ts'

/** Counts the calls under way, so that a server knows when it may close connections that clients keep open. */
export class ActiveCalls {
  #count = 0
  #idle: (() => void) | undefined

  /** Counts around another interceptor. */
  around(inner: UnaryInterceptor): UnaryInterceptor {
    return async (method, request, act) => {
      this.#count++
      try {
        return await inner(method, request, act)
      } finally {
        this.#count--
        if (this.#count === 0) this.#idle?.()
      }
    }
  }

  /** Resolves when no call is under way. */
  async ended(): Promise<void> {
    if (this.#count === 0) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
    })
  }
}
