import { namesSecret, SecretTexts } from '../../secrets.ts'
import type { Cell, Teardown, TeardownCall, Written } from '../matrix/lab-record.ts'
import type { DriverSeen, StepFailure } from './seen.ts'
import type { DriverSpec } from './spec.ts'

/**
 * Takes the secrets of a driver's file out of what is told of a cell: a driver may log its requests as they are, and name secrets in its errors
 * and mounts. Secrets are the values of `secrets` and `callSecrets`, and those of `env`, `attributes`, `publishContext` and the parameters of
 * `create` whose key names one (secrets.ts).
 */
export class Redaction {
  readonly #secrets: SecretTexts

  constructor({ volume, env = {}, create }: Pick<DriverSpec, 'volume'> & Partial<Pick<DriverSpec, 'env' | 'create'>>) {
    const { secrets = {}, callSecrets = {}, volumeContext = {}, publishContext = {} } = volume
    const named = [env, volumeContext, publishContext, create?.parameters ?? {}]
      .flatMap((one) => Object.entries(one))
      .filter(([key]) => namesSecret(key))
      .map(([, value]) => value)
    const all = [secrets, ...Object.values(callSecrets)].flatMap((one) => Object.values(one))
    this.#secrets = new SecretTexts([...all, ...named])
  }

  /** The cell with each secret replaced, in every text that is not the lab's own. */
  cell(cell: Cell): Cell {
    const { why, consumers, events, evidence, teardown } = cell
    const { logs, mountsBefore, mountsAfter, holdersBefore, holdersAfter, disk, written } = evidence
    return {
      ...cell,
      ...(why === undefined ? {} : { why: this.text(why) }),
      consumers: consumers.map((one) => ({
        ...one,
        mountTable: this.#all(one.mountTable),
        ...(one.deletedFolder === undefined ? {} : { deletedFolder: this.text(one.deletedFolder) }),
      })),
      events: events.map((one) => ({ ...one, text: this.text(one.text) })),
      evidence: {
        ...evidence,
        logs: logs.map((one) => ({ ...one, text: this.text(one.text) })),
        mountsBefore: this.#all(mountsBefore),
        mountsAfter: this.#all(mountsAfter),
        holdersBefore: this.#all(holdersBefore),
        holdersAfter: this.#all(holdersAfter),
        disk: this.#all(disk),
        ...(written === undefined ? {} : { written: this.#written(written) }),
      },
      ...(teardown === undefined ? {} : { teardown: this.#teardown(teardown) }),
    }
  }

  /** What was seen in a trial with each secret replaced. */
  seen(seen: DriverSeen): DriverSeen {
    const { steps, mounts, read, left, written, log } = seen
    return {
      ...seen,
      steps: steps.map((one) => (one.failure === undefined ? one : { ...one, failure: this.#failure(one.failure) })),
      mounts: mounts.map((one) => ({ ...one, source: this.text(one.source) })),
      read:
        read === undefined
          ? undefined
          : {
              ...read,
              saw: this.text(read.saw),
              names: this.#all(read.names),
              held: read.held === undefined ? undefined : this.text(read.held),
            },
      left: this.#all(left),
      written: this.#written(written),
      log: this.#all(log),
    }
  }

  /** A text with each secret replaced. */
  text(text: string): string {
    return this.#secrets.stripped(text)
  }

  #teardown({ calls, left, newPod, ...others }: Teardown): Teardown {
    const { mounts, folders, holders } = left
    const why = newPod?.why
    return {
      ...others,
      calls: this.#calls(calls),
      left: {
        mounts: this.#all(mounts),
        folders: folders.map(({ path, names }) => ({ path, names: this.#all(names) })),
        holders: this.#all(holders),
      },
      ...(newPod === undefined
        ? {}
        : { newPod: { ...newPod, calls: this.#calls(newPod.calls), ...(why === undefined ? {} : { why: this.text(why) }) } }),
    }
  }

  #calls(calls: readonly TeardownCall[]): readonly TeardownCall[] {
    return calls.map((one) =>
      one.failure === undefined ? one : { ...one, failure: { ...one.failure, message: this.text(one.failure.message) } },
    )
  }

  #failure({ about, what, answer }: StepFailure): StepFailure {
    return { about, what: this.text(what), answer: answer === undefined ? undefined : this.text(answer) }
  }

  #written(all: readonly Written[]): readonly Written[] {
    return all.map((one) => ({ ...one, path: this.text(one.path) }))
  }

  #all(texts: readonly string[]): readonly string[] {
    return texts.map((text) => this.text(text))
  }
}
