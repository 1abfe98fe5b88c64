import type { Libc } from '../../os/libc.ts'
import type { ServiceManager } from '../../os/sd-notify.ts'

/** Resolves when a signal says that it is time to end. */
export async function toldToEnd(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, resolve)
  })
}

/** The service manager's watchdog, if it has one, hears from us for as long as the serving thread answers. */
export function keepAlive(manager: ServiceManager, alive: () => Promise<boolean>): void {
  if (manager.watchdog === undefined) return
  const timer = setInterval(() => {
    void alive().then((answered) => {
      if (answered) manager.notify('WATCHDOG=1')
    })
  }, manager.watchdog / 2)
  timer.unref()
}

/** Has the process end without taking its threads and heaps apart first, as Node would: somebody waits for its end. */
export function exitAtOnce(libc: Libc): void {
  process.prependOnceListener('exit', (status) => {
    libc.exit(status)
  })
}
