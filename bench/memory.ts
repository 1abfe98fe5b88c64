import { readFileSync } from 'node:fs'

/** A line of smaps_rollup (proc_pid_smaps(5)) of processes, such as `Pss`: their sum, in MB. */
export function memoryOf(line: string, pids: readonly number[]): number {
  const kb = pids.map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    return Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1])
  })
  return kb.reduce((sum, one) => sum + one, 0) / 1024
}
