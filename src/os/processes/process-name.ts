import { writeFileSync } from 'node:fs'
import { codeOf } from '../../errors.ts'

/**
 * Names the process as `ps -o comm` shows it (the kernel keeps 15 bytes, TASK_COMM_LEN); Node calls itself MainThread.
 * process.title would overwrite the arguments too. Where /proc is not mounted the process keeps its name.
 */
export function setProcessName(name: string): void {
  try {
    writeFileSync('/proc/self/comm', name)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}
