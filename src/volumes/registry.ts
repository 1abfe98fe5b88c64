import { hash } from 'node:crypto'
import { join } from 'node:path'
import * as v from 'valibot'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { readRegularFile, removeDurably, sweepFolder, writeDurably } from '../os/descriptors/durable-file.ts'
import { parseJson } from '../schema.ts'
import { VolumeError } from './errors.ts'
import { fileNameFor } from './mount-cache-file-name.ts'

/** A volume that the Controller made: a record and nothing else. `capacity` is in bytes. */
export interface VolumeRecord {
  readonly version: 1
  readonly id: string
  readonly name: string
  readonly capacity: number
  /** A hash of the parameters that it was made with, which may hold secrets. Missing in the records of earlier versions. */
  readonly parameters?: string
  /** What its program mounts it from (serve --program): its volume_context. No secret is among it. */
  readonly context?: Readonly<Record<string, string>>
}

const RECORD = v.object({
  version: v.literal(1),
  id: v.string(),
  name: v.string(),
  capacity: v.pipe(v.number(), v.safeInteger('is not a whole number'), v.minValue(0, 'is negative')),
  parameters: v.exactOptional(v.string()),
  context: v.exactOptional(v.record(v.string(), v.string())),
})

/** Bytes asked for: at least `required`, at most `limit`; 0 is no bound. */
export interface CapacityRange {
  readonly required: number
  readonly limit: number
}

/** What the records may add up to: 1 PiB, so that a capacity has an end like everybody's. */
const TOTAL_CAPACITY = 2 ** 50

/** The capacity of a volume whose request names none: the PersistentVolume of the original project has 1 GiB. */
const DEFAULT_CAPACITY = 2 ** 30

/** The volumes that CreateVolume made, one file each. */
export class VolumeRegistry {
  readonly #folder: string
  readonly #log: Logger
  readonly #records = new Map<string, VolumeRecord>()

  constructor(folder: string, log: Logger) {
    this.#folder = folder
    this.#log = log
  }

  /** Reads the records; a damaged one is reported and left alone. */
  load(): void {
    makeDirectories(this.#folder, 0o750)
    for (const entry of sweepFolder(this.#folder)) {
      const file = join(this.#folder, entry.name)
      try {
        const record = parseJson(RECORD, readRegularFile(entry))
        if (this.#fileOf(record.id) !== file) throw new Error('it is the record of another volume')
        this.#records.set(record.id, record)
      } catch (error) {
        this.#log.error(`Skipped damaged volume record ${file}: ${messageOf(error)}`)
      }
    }
  }

  /** All records, by id. */
  list(): readonly VolumeRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  get(id: string): VolumeRecord | undefined {
    return this.#records.get(id)
  }

  /** Bytes that are not spoken for. */
  available(): number {
    return Math.max(0, TOTAL_CAPACITY - this.list().reduce((sum, { capacity }) => sum + capacity, 0))
  }

  /** Makes a volume, or returns the one of that name. Throws VolumeError `conflict` (another size, other parameters) or `range`. */
  create(
    name: string,
    { required, limit }: CapacityRange,
    parameters: Readonly<Record<string, string>>,
    context?: Readonly<Record<string, string>>,
  ): VolumeRecord {
    const digest = digestOf(parameters)
    if (limit > 0 && required > limit) throw new VolumeError('range', `required_bytes ${required} exceeds limit_bytes ${limit}`)
    const id = fileNameFor(name).replace(/\.json$/, '')
    const known = this.#records.get(id)
    if (known !== undefined) {
      if (known.parameters !== undefined && known.parameters !== digest)
        throw new VolumeError('conflict', `volume ${name} exists with other parameters; name another, or delete it first`)
      if (known.capacity >= required && (limit === 0 || known.capacity <= limit)) return known
      throw new VolumeError(
        'conflict',
        `volume ${name} exists with ${known.capacity} bytes, which is outside of what is asked for; name another, or delete it first`,
      )
    }
    const capacity = required > 0 ? required : limit > 0 ? Math.min(limit, DEFAULT_CAPACITY) : DEFAULT_CAPACITY
    if (capacity > this.available())
      throw new VolumeError(
        'range',
        `${capacity} bytes are more than the ${this.available()} that are left; ask for less, or delete volumes`,
      )
    const record: VolumeRecord = {
      version: 1,
      id,
      name,
      capacity,
      parameters: digest,
      ...(context === undefined ? {} : { context }),
    }
    writeDurably(this.#fileOf(id), `${JSON.stringify(record)}\n`)
    this.#records.set(id, record)
    return record
  }

  /** Removes a volume, if it exists. */
  delete(id: string): void {
    if (!this.#records.has(id)) return
    removeDurably(this.#fileOf(id))
    this.#records.delete(id)
  }

  #fileOf(id: string): string {
    return join(this.#folder, `${id}.json`)
  }
}

/** The same for the same parameters in any order. Those that the external-provisioner adds itself (--extra-create-metadata) tell of the claim. */
function digestOf(parameters: Readonly<Record<string, string>>): string {
  const own = Object.entries(parameters).filter(([key]) => !key.startsWith('csi.storage.k8s.io/'))
  return hash('sha256', JSON.stringify(own.sort(([one], [other]) => (one < other ? -1 : 1))))
}
