import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Found, foundAt, recordsIn } from '../consumer/record-files.ts'
import { missingFrom } from '../consumer/record-ranges.ts'
import type { AcknowledgedWrites, ConsumerResult, NewPod, OutcomeId } from '../matrix/lab-record.ts'
import type { WriteLog, WrittenFile } from './write-log.ts'

/** What was found, by the name of the file. */
export type FoundRecords = ReadonlyMap<string, Found>

/** When the acknowledged records of a file were that are missing; undefined if it is not known which are. */
export function missingOf({ file, acknowledgedAt }: WrittenFile, found: FoundRecords): readonly number[] | undefined {
  const ranges = found.get(file)
  if (ranges === undefined || typeof ranges === 'string') return undefined
  return missingFrom(ranges, acknowledgedAt.length).map((number) => acknowledgedAt[number] ?? 0)
}

/** The records that the storage has. `folder`: where it keeps the files of the volume, on file systems of the machine. A file that is missing has none. */
export async function recordsStored(folder: string, files: readonly WrittenFile[]): Promise<FoundRecords> {
  const read = async ({ file }: WrittenFile): Promise<[string, Found]> => {
    try {
      return [file, recordsIn(file, await readFile(join(folder, file)))]
    } catch (error) {
      return [file, foundAt(error)]
    }
  }
  return new Map(await Promise.all(files.map(read)))
}

/** What is known at the end of a cell of the records that its consumers wrote. */
export interface ReadBack {
  /** What the new pod found. */
  readonly found: FoundRecords
  /** The pod; undefined if none came. */
  readonly newPod: Pick<NewPod, 'saw'> | undefined
  /** What the storage has; undefined if it is not known where it keeps its files. */
  readonly stored: FoundRecords | undefined
}

/** The result of a consumer that wrote, with what came of its records; the result as it is of one that did not. */
export function withWrites(result: ConsumerResult, writes: WriteLog, failureAtMs: number, back: ReadBack): ConsumerResult {
  if (writes.isEmpty) return result
  const ways = writes.seen(failureAtMs).map((way): AcknowledgedWrites => {
    const own = writes.files.filter(({ by }) => by === way.by)
    const missing = (found: FoundRecords): readonly number[] => own.flatMap((file) => missingOf(file, found) ?? [])
    const { stored } = back
    const lost = missing(back.found)
    return {
      ...way,
      lost: lost.length,
      lostBefore: lost.filter((atMs) => atMs < failureAtMs).length,
      ...(stored === undefined ? {} : { notInStorage: missing(stored).length }),
    }
  })
  const unknown = writes.files.find((file) => missingOf(file, back.found) === undefined)
  const seen = outcomeOf(ways) ?? result.seen
  return {
    ...result,
    ...{ seen, expected: seen },
    writes: { ways, ...(unknown === undefined ? {} : { notReadBack: whyNot(unknown, back) }) },
  }
}

function outcomeOf(ways: readonly AcknowledgedWrites[]): OutcomeId | undefined {
  const losing = ways.filter(({ lost }) => lost > 0)
  if (losing.length === 0) return undefined
  return losing.some(({ by }) => by === 'fsync') ? 'loses-synced' : 'loses-unsynced'
}

function whyNot({ file }: WrittenFile, { found, newPod }: ReadBack): string {
  const code = found.get(file)
  if (typeof code === 'string') return `the new pod cannot read ${file}: ${code}`
  if (newPod === undefined) return 'no new pod came'
  return newPod.saw === 'not started' ? 'the new pod could not be started' : `the last read of the new pod: ${newPod.saw}`
}
