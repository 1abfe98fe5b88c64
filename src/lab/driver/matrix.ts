import { FAILURES } from '../failures/all.ts'
import { CONSUMERS } from '../matrix/consumers.ts'
import type { PlannedCell } from '../matrix/plan.ts'
import type { Absent, Catalogue, Title } from '../matrix/lab-record.ts'
import { OUTCOMES } from '../matrix/outcomes.ts'
import { type Mitigation, mitigationOf } from '../mitigations.ts'
import type { DriverSpec } from './spec.ts'

/** What can be done around a driver without changing it. */
export const DRIVER_MITIGATIONS: readonly Mitigation[] = [
  {
    ...mitigationOf('none'),
    id: 'as-is',
    title: 'As it is',
    words: 'The driver without any change, and pods as Kubernetes makes them.',
  },
  {
    ...mitigationOf('restore-exit'),
    id: 'consumers-exit',
    title: 'Consumers exit',
    words: 'Every consumer ends at its first error and is started again.',
  },
  {
    ...mitigationOf('host-to-container'),
    title: 'HostToContainer',
    words: 'Consumers run in pods that have the folder above the volume with mountPropagation HostToContainer.',
  },
  {
    ...mitigationOf('health'),
    words:
      'The node agent asks the driver for the health of the volume (NodeGetVolumeHealth of CSI 1.13), and makes every pod again that uses an INACCESSIBLE volume.',
  },
]

/** The file names one volume. */
const DRIVER_CONSUMERS = CONSUMERS.filter(({ volume }) => volume === 'struck')

/** Why a failure cannot be made to happen to a driver; undefined if it can. */
function absence(failure: string, { fuse, daemon, volume }: DriverSpec): string | undefined {
  switch (failure) {
    case 'mount-fails':
    case 'mount-late':
      return "The lab cannot make the driver's own daemon fail; dummy-fuse has an option for it."
    case 'plugin-restarted':
      return 'The lab does not know its systemd unit. plugin-upgraded also stops it by a signal and starts it again.'
    case 'daemon-upgraded':
      return 'The lab does not know how to upgrade its daemon. plugin-upgraded starts the next version of the driver.'
    case 'daemon-killed':
    case 'daemon-hung':
    case 'daemon-replaced':
      return daemon === undefined ? 'The file names no daemon of its own.' : undefined
    case 'connection-aborted':
      return fuse && volume.staged !== false ? undefined : 'Its volumes are not FUSE mounts with a staging path.'
    case 'staging-unmounted':
      return volume.staged === false ? 'It stages no volumes.' : undefined
    default:
      return undefined
  }
}

/** The cells for a driver, of which there is no model, and what is absent. */
export function planDriver(
  spec: DriverSpec,
  choice: { readonly failures: readonly string[]; readonly mitigations: readonly string[]; readonly consumers: readonly string[] },
): { readonly cells: readonly PlannedCell[]; readonly absent: readonly Absent[] } {
  const wanted = (ids: readonly string[], id: string): boolean => ids.length === 0 || ids.includes(id)
  const mitigations = DRIVER_MITIGATIONS.filter(({ id }) => wanted(choice.mitigations, id))
  const cells: PlannedCell[] = []
  const absent: Absent[] = []
  for (const failure of FAILURES.filter(({ id }) => wanted(choice.failures, id))) {
    const reason = absence(failure.id, spec)
    for (const mitigation of mitigations) {
      if (reason !== undefined) {
        absent.push({ failure: failure.id, mitigation: mitigation.id, reason })
        continue
      }
      const off = failure.id === 'machine-crash' || failure.id === 'daemon-hung' ? 'starts-during' : undefined
      const kinds = DRIVER_CONSUMERS.filter(({ id }) => wanted(choice.consumers, id) && id !== off)
      if (kinds.length > 0) cells.push({ failure, mitigation, consumers: Object.fromEntries(kinds.map(({ id }) => [id, null])) })
    }
  }
  return { cells, absent }
}

/** The catalogue of such a run. */
export function driverCatalogue(catalogue: Catalogue): Catalogue {
  const mitigations: Record<string, Title> = {}
  for (const { id, title, words } of DRIVER_MITIGATIONS) mitigations[id] = { title, words }
  const consumers: Record<string, Title> = {}
  for (const { id, title, words } of DRIVER_CONSUMERS) consumers[id] = { title, words }
  return { ...catalogue, mitigations, consumers, outcomes: OUTCOMES }
}
