/** The signals by which a service manager, a terminal and a person stop a program. */
const STOPPING = ['SIGTERM', 'SIGINT'] as const

/** The same for a daemon without a terminal. */
export const DAEMON_STOPPING = [...STOPPING, 'SIGHUP'] as const

/** Resolves to the first of these signals that comes. From now on none of them, and none of `ignored`, ends the process by itself. */
export async function nextStopSignal(
  heeded: readonly NodeJS.Signals[] = STOPPING,
  ignored: readonly NodeJS.Signals[] = [],
): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    for (const signal of heeded) process.on(signal, resolve)
    for (const signal of ignored) process.on(signal, () => undefined)
  })
}
