import { processStat } from '../../src/os/processes/processes.ts'
import { eventually } from './wait.ts'

/** Stops a process by SIGSTOP, and resolves when it has stopped: on a busy machine it goes on for a moment. */
export async function stop(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  await eventually(`process ${pid} is stopped`, () => processStat(pid)?.state === 'T')
}
