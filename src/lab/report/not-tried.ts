import type { LabRecord } from '../matrix/lab-record.ts'
import { notTried } from '../matrix/not-tried.ts'
import { listed } from './text.ts'

/** What has no cell for a driver, a sentence for each reason. */
export function notTriedWords(record: LabRecord): readonly string[] {
  return notTried(record).map(({ side, ids, reason }) => {
    const titles = record.catalogue[side]
    return `${listed(ids.map((id) => titles[id]?.title ?? id))}: ${reason}`
  })
}
