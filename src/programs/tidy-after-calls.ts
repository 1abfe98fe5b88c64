import type { UnaryInterceptor } from '../grpc/service.ts'

/**
 * An interceptor around another one that has `tidy` called `delay` milliseconds after the start, and after calls: those that come together leave behind
 * what is given back once, and in none of them.
 */
export function tidyAfterCalls(inner: UnaryInterceptor, tidy: () => void, delay: number): UnaryInterceptor {
  let armed: NodeJS.Timeout | undefined
  const arm = (): void => {
    armed ??= setTimeout(() => {
      armed = undefined
      tidy()
    }, delay).unref()
  }
  arm()
  return async (method, request, act) => {
    try {
      return await inner(method, request, act)
    } finally {
      arm()
    }
  }
}
