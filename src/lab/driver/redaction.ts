import { namesSecret, STRIPPED } from '../../secrets.ts'
import type { Cell } from '../matrix/lab-record.ts'
import type { DriverSpec } from './spec.ts'

/** Characters that a value, or a line of it, has at least where it is told from other text. */
const SHORTEST = 4

/**
 * Takes the secrets of a driver's file out of what is told of a cell: a driver may log its requests as they are, and name secrets in its errors
 * and mounts. Secrets are the values of `secrets`, and those of `attributes` and `publishContext` whose key names one (secrets.ts).
 */
export class Redaction {
  /** The longest first: one may be a part of another. */
  readonly #texts: readonly string[]

  constructor({ secrets = {}, volumeContext = {}, publishContext = {} }: DriverSpec['volume']) {
    const ofContext = [volumeContext, publishContext].flatMap((one) => Object.entries(one)).filter(([key]) => namesSecret(key))
    const values = [...Object.values(secrets), ...ofContext.map(([, value]) => value)]
    this.#texts = [...new Set(values.flatMap(formsOf))].sort((a, b) => b.length - a.length)
  }

  /** The cell with each secret replaced, in every text that is not the lab's own. */
  cell(cell: Cell): Cell {
    const { why, consumers, events, evidence } = cell
    const { logs, mountsBefore, mountsAfter, holdersBefore, holdersAfter, disk } = evidence
    return {
      ...cell,
      ...(why === undefined ? {} : { why: this.text(why) }),
      consumers: consumers.map((one) => ({ ...one, mountTable: this.#all(one.mountTable) })),
      events: events.map((one) => ({ ...one, text: this.text(one.text) })),
      evidence: {
        logs: logs.map((one) => ({ ...one, text: this.text(one.text) })),
        mountsBefore: this.#all(mountsBefore),
        mountsAfter: this.#all(mountsAfter),
        holdersBefore: this.#all(holdersBefore),
        holdersAfter: this.#all(holdersAfter),
        disk: this.#all(disk),
      },
    }
  }

  /** A text with each secret replaced. */
  text(text: string): string {
    return this.#texts.reduce((now, secret) => now.replaceAll(secret, STRIPPED), text)
  }

  #all(texts: readonly string[]): readonly string[] {
    return texts.map((text) => this.text(text))
  }
}

/** A value as programs show it: as it is, line by line, and each escaped as JSON and Go escape it, or in Base64. */
function formsOf(value: string): readonly string[] {
  const parts = [value, ...value.split('\n')].filter((part) => part.length >= SHORTEST)
  const base64 = value.length < SHORTEST ? [] : [Buffer.from(value).toString('base64')]
  return [...parts, ...parts.map((part) => JSON.stringify(part).slice(1, -1)), ...base64]
}
