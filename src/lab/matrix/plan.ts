import { FAILURES } from '../failures/all.ts'
import type { Failure } from '../failures/failure.ts'
import { MITIGATIONS } from '../mitigations.ts'
import type { Mitigation } from '../mitigations.ts'
import { type Claim, CLAIMS } from './claims.ts'
import { CONSUMERS } from './consumers.ts'
import type { Expectation } from './job.ts'
import { ABSENT, GROUPS, MODEL } from './model.ts'
import { OUTCOMES } from './outcomes.ts'
import type { Absent, Catalogue, OutcomeId, Title } from './lab-record.ts'

/** A cell that makes sense, and what the model says of its consumers. */
export interface PlannedCell {
  readonly failure: Failure
  readonly mitigation: Mitigation
  /** By their ids, in their order; null where there is no model. */
  readonly consumers: Readonly<Record<string, Expectation | null>>
}

/** Which part of the matrix is wanted; an empty list is all of it. */
export interface Choice {
  readonly failures: readonly string[]
  readonly mitigations: readonly string[]
  readonly consumers: readonly string[]
}

/** All that there is, by its ids, in the order in which it is to be shown. */
export const CATALOGUE: Catalogue = {
  failures: titles(FAILURES),
  mitigations: titles(MITIGATIONS),
  consumers: titles(CONSUMERS),
  outcomes: OUTCOMES,
}

/** The cells of a choice, row by row, and what is absent from it with its reason. Throws an Error where the model has a hole. */
export function plan(choice: Choice): { readonly cells: readonly PlannedCell[]; readonly absent: readonly Absent[] } {
  const cells: PlannedCell[] = []
  const absent: Absent[] = []
  for (const failure of chosen(FAILURES, choice.failures)) {
    for (const mitigation of chosen(MITIGATIONS, choice.mitigations)) {
      const consumers: Record<string, Expectation> = {}
      const left: Absent[] = []
      for (const { id } of chosen(CONSUMERS, choice.consumers)) {
        const reason = absence(failure.id, mitigation.id, id)
        if (reason === undefined) consumers[id] = expectation(failure.id, mitigation.id, id)
        else left.push({ failure: failure.id, mitigation: mitigation.id, consumer: id, reason })
      }
      if (Object.keys(consumers).length > 0) {
        cells.push({ failure, mitigation, consumers })
        absent.push(...left)
      } else {
        const reason = left[0]?.reason ?? ''
        absent.push({ failure: failure.id, mitigation: mitigation.id, reason })
      }
    }
  }
  return { cells, absent }
}

/** What the model says. Throws an Error if it says nothing. */
export function expectation(failure: string, mitigation: string, consumer: string): Expectation {
  const line = MODEL.find(
    ([failures, mitigations, consumers]) => fits(failures, failure) && fits(mitigations, mitigation) && fits(consumers, consumer),
  )
  if (line === undefined) throw new Error(`the model says nothing of ${failure} under ${mitigation} for ${consumer}`)
  return expectationOf(line[3], CLAIMS[line[4]])
}

/** An expectation from a line of a model: `outcome`, or several with `|` between them. */
export function expectationOf(outcomes: string, claim: Claim): Expectation {
  const [first, ...or] = outcomes.split('|') as [OutcomeId, ...OutcomeId[]]
  return { outcome: first, ...(or.length === 0 ? {} : { or }), ...claim }
}

function absence(failure: string, mitigation: string, consumer: string): string | undefined {
  const line = ABSENT.find(
    ([failures, mitigations, consumers]) => fits(failures, failure) && fits(mitigations, mitigation) && fits(consumers, consumer),
  )
  return line?.[3]
}

/** The ids that words of the model stand for; undefined is all of them. */
export function idsOf(words: string): readonly string[] | undefined {
  if (words === '*') return undefined
  return words.split(',').flatMap((word) => GROUPS[word]?.split(',') ?? [word])
}

/** Whether words of a model stand for an id, among others. */
export function fits(words: string, id: string): boolean {
  return idsOf(words)?.includes(id) ?? true
}

function chosen<T extends { readonly id: string }>(all: readonly T[], ids: readonly string[]): readonly T[] {
  return ids.length === 0 ? all : all.filter(({ id }) => ids.includes(id))
}

/** The titles of these, by their ids. */
export function titles(all: readonly (Title & { readonly id: string })[]): Readonly<Record<string, Title>> {
  return Object.fromEntries(all.map(({ id, title, words }) => [id, { title, words }]))
}
