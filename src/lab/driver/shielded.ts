import type { Mitigation } from '../mitigations.ts'
import type { DriverSpec } from './spec.ts'

/** A driver as a mitigation has it started: behind a shield if that is the mitigation and the file says how, and otherwise as it is. */
export function startedUnder({ hosting }: Pick<Mitigation, 'hosting'>, driver: DriverSpec): DriverSpec {
  const { shield } = driver
  if (hosting !== 'shield' || shield === undefined) return driver
  const { start, container } = shield
  return { ...driver, start, upgrade: start, container }
}
