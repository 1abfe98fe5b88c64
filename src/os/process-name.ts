import { writeFileSync } from 'node:fs'

/**
 * Names the process as `ps -o comm` shows it (the kernel keeps 15 bytes, TASK_COMM_LEN); Node calls itself MainThread.
 * process.title would overwrite the arguments too.
 */
export function setProcessName(name: string): void {
  writeFileSync('/proc/self/comm', name)
}
