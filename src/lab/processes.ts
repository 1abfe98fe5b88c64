import { readdirSync, readFileSync } from 'node:fs'

/** Ids of this process namespace's living processes, zombies apart, that `ps -o comm` shows by this name. */
export function living(comm: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = readStat(pid)
      return stat?.comm === comm && stat.state !== 'Z' && stat.state !== 'X'
    })
}

/** proc_pid_stat(5): the name stands in parentheses and may hold some itself. */
function readStat(pid: number): { comm: string; state: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const end = text.lastIndexOf(')')
    return { comm: text.slice(text.indexOf('(') + 1, end), state: text.charAt(end + 2) }
  } catch {
    // It ended while the list was read.
    return undefined
  }
}
