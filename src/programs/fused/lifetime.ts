import type { ServiceManager } from '../../sd/service-manager.ts'

/**
 * Resolves when a signal says that it is time to end. A daemon that its parent takes along (--die-with-parent) leaves SIGINT and SIGHUP, which a
 * terminal sends to both, to that parent.
 */
export async function nextStopSignal(dieWithParent = false): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (signal === 'SIGTERM' || !dieWithParent) resolve(signal)
      })
    }
  })
}

/**
 * Sends WATCHDOG=1 to a service manager that has a watchdog, at once and twice within its time, each time that
 * `answers` has resolved. What it rejects with goes to `onLost`.
 */
export function keepAlive(manager: ServiceManager, answers: () => Promise<unknown>, onLost: (error: unknown) => void): void {
  if (manager.watchdog === undefined) return
  const beat = (): void => {
    answers()
      .then(() => manager.notify('WATCHDOG=1'))
      .catch(onLost)
  }
  beat()
  setInterval(beat, manager.watchdog / 2).unref()
}
