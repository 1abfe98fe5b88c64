/** One number that a program keeps to, and the reason for it. */
interface Limit {
  readonly value: number
  readonly why: string
}

/** A program's limits by their names. */
export type LimitTable = Readonly<Record<string, Limit>>

/** The numbers of a table alone. */
export type Limits<T extends LimitTable> = { readonly [K in keyof T]: number }

/** A statement about a program's limits that must hold, in words, and whether it does. */
export type Relation = readonly [statement: string, holds: boolean]

/**
 * The numbers of a table, once each is above zero and has a reason, and every relation between them holds. Throws an Error that names
 * what does not.
 */
export function checkedLimits<T extends LimitTable>(table: T, relations: (limits: Limits<T>) => readonly Relation[]): Limits<T> {
  for (const [name, { value, why }] of Object.entries(table)) {
    if (!Number.isFinite(value) || value <= 0) throw new Error(`limit ${name} is ${value}; it must be a number above 0`)
    if (why === '') throw new Error(`limit ${name} has no reason`)
  }
  const limits = Object.fromEntries(Object.entries(table).map(([name, { value }]) => [name, value])) as Limits<T>
  const [broken] = relations(limits).find(([, holds]) => !holds) ?? []
  if (broken !== undefined) throw new Error(`the limits contradict each other: it must be that ${broken}`)
  return limits
}
