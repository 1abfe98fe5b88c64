/** A process that can be made to end. */
export interface Killable {
  /** Waits up to `time` milliseconds for its end. Resolves to whether it has ended. */
  endsWithin(time: number): Promise<boolean>
  /** Sends it SIGKILL, unless it has ended. */
  kill(): void
}

/**
 * The one way to end a process. The caller has asked it to end, by a signal, by closing its standard input or by an unmount. It gets `grace`
 * milliseconds for that and SIGKILL after them. Resolves to whether it has ended within `time` milliseconds in all: SIGKILL does not end a process
 * that waits in the kernel for a file system or a device.
 */
export async function killAfter(process: Killable, grace: number, time: number): Promise<boolean> {
  const end = performance.now() + time
  if (await process.endsWithin(Math.min(grace, time))) return true
  process.kill()
  return await process.endsWithin(Math.max(end - performance.now(), 0))
}
