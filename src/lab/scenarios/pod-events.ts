import type { CellEvent } from '../matrix/lab-record.ts'

/** A row of what `kubectl describe pod` shows. */
interface PodEvent {
  readonly type: 'Normal' | 'Warning'
  readonly reason: 'Started' | 'Failed'
  readonly message: string
}

/** Whether an event of a pod's lane is one that Kubernetes shows, and how. */
function podEventOf({ kind, text }: CellEvent): PodEvent | undefined {
  switch (kind) {
    case 'start':
    case 'restart':
      return { type: 'Normal', reason: 'Started', message: 'Started container dummy-workload' }
    case 'log':
      return { type: 'Warning', reason: 'Failed', message: text }
    default:
      return undefined
  }
}

/** The first event of a pod's lane since then that Kubernetes shows for this reason. */
export function findEvent(events: readonly CellEvent[], reason: PodEvent['reason'], sinceMs: number): CellEvent | undefined {
  return events.find((event) => event.atMs >= sinceMs && podEventOf(event)?.reason === reason)
}

/** The events of a pod's lane as `kubectl describe pod` lays them out, each with its time into the scenario instead of its age. */
export function eventTable(events: readonly CellEvent[]): readonly string[] {
  const shown = events.flatMap((event) => {
    const { type, reason, message } = podEventOf(event) ?? {}
    if (type === undefined || reason === undefined || message === undefined) return []
    return [[type, reason, `${(event.atMs / 1000).toFixed(1)}s`, 'kubelet', message]]
  })
  const rows = [['Type', 'Reason', 'At', 'From', 'Message'], ['----', '------', '--', '----', '-------'], ...shown]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
}
