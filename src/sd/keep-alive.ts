import type { ServiceManager } from './service-manager.ts'

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
