import type { ServiceManager } from '../../os/sd-notify.ts'

/**
 * Resolves when a signal says that it is time to end. A daemon that its parent takes along (--die-with-parent) leaves SIGINT and SIGHUP, which a
 * terminal sends to both, to that parent.
 */
export async function toldToEnd(dieWithParent = false): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (signal === 'SIGTERM' || !dieWithParent) resolve(signal)
      })
    }
  })
}

/**
 * Sends WATCHDOG=1 to a service manager that has a watchdog, at once and twice within its time, for as long as `alive` resolves to true. What
 * `alive` rejects with goes to `onLost`.
 */
export function keepAlive(manager: ServiceManager, alive: () => Promise<boolean>, onLost: (error: unknown) => void): void {
  if (manager.watchdog === undefined) return
  const beat = (): void => {
    alive()
      .then((answered) => {
        if (answered) manager.notify('WATCHDOG=1')
      })
      .catch(onLost)
  }
  beat()
  setInterval(beat, manager.watchdog / 2).unref()
}
