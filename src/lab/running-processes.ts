import { readdirSync, readFileSync } from 'node:fs'

/** Ids of this process namespace's living processes that `ps -o comm` shows by this name. */
export function runningProcesses(comm: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = readStat(pid)
      return stat?.comm === comm && !stat.dead
    })
}

/**
 * proc_pid_stat(5): the name stands in parentheses and may hold some itself. A process whose first thread has ended is a zombie while
 * its others still end, and until they have its descriptors are open.
 */
function readStat(pid: number): { comm: string; dead: boolean } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const end = text.lastIndexOf(')')
    const fields = text.slice(end + 2).split(' ')
    const [state = ''] = fields
    const threads = Number(fields[17])
    return { comm: text.slice(text.indexOf('(') + 1, end), dead: 'ZX'.includes(state) && threads <= 1 }
  } catch {
    // It ended while the list was read.
    return undefined
  }
}
