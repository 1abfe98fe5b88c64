import { DRIVER_FAILURES } from '../failures/all.ts'
import { firstUse } from '../failures/first-use.ts'
import { DRIVER_CONSUMERS, WRITER } from '../matrix/consumers.ts'
import { type PlannedCell, titles } from '../matrix/plan.ts'
import type { Absent, Catalogue } from '../matrix/lab-record.ts'
import { OUTCOMES } from '../matrix/outcomes.ts'
import { type Mitigation, mitigationOf } from '../mitigations.ts'
import { type DriverSeen, heldBy, type Holder } from './seen.ts'
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
  {
    ...mitigationOf('shield'),
    title: 'Shielded',
    words:
      'The driver is started as its file says under shield: each of its FUSE daemons runs behind dummy-fuse-csi shield, which has the session, and starts the daemon again when it ends.',
  },
]

/** The mitigation of a driver whose file says how it is started behind a shield. */
const SHIELDED = 'shield'

/** What a trial has shown that decides which failures and mitigations there are for a driver. */
export type Shown = Pick<DriverSeen, 'mounts' | 'read' | 'holders' | 'health' | 'refusesWrites'>

/** Failures that the lab causes for its own plugin alone, and why. */
const OF_OUR_PLUGIN: Readonly<Record<string, string>> = {
  'mount-fails': "The lab cannot make the driver's own daemon fail; dummy-fuse has an option for it.",
  'mount-late': "The lab cannot make the driver's own daemon fail; dummy-fuse has an option for it.",
  'plugin-restarted': 'The lab does not know its systemd unit. plugin-upgraded also stops it by a signal and starts it again.',
  'daemon-upgraded': 'The lab does not know how to upgrade its daemon. plugin-upgraded starts the next version of the driver.',
}

/** What a driver needs for a failure to happen to it, or for a mitigation to be one. */
interface Need {
  /** In words, after `where`. */
  readonly words: string
  /** Why it is missing; undefined if it is there, as far as the file and the trial tell. */
  readonly missing: (spec: DriverSpec, shown: Shown | undefined) => string | undefined
}

/** A process to strike: the plugin, if that answers itself. */
const ANSWERED: Need = {
  words: 'a process answers for the volume',
  missing: ({ daemon }, shown) => {
    const noFuse = shown && withoutFuse(shown)
    if (shown === undefined || noFuse !== undefined) return noFuse
    return shown.holders.length > 0 || daemon !== undefined
      ? undefined
      : 'No process is seen that answers for the volume, and the file names no daemon.'
  },
}

/** The same, where the plugin cannot be that process. `why`: a clause. */
function besidePlugin(why: string): Need {
  return {
    words: 'a process other than the plugin answers for the volume',
    missing: (spec, shown) => {
      const nobody = ANSWERED.missing(spec, shown)
      if (shown === undefined || nobody !== undefined) return nobody
      const { answering } = heldBy(shown)
      const own = answering.length > 0 && answering.every(({ plugin }) => plugin)
      return own ? `The plugin itself answers for the volume (${commsOf(answering)}); ${why}.` : undefined
    },
  }
}

const HOLDER: Need = {
  words: 'a process other than the plugin holds a descriptor of the connection and does not answer',
  missing: (_spec, shown) => {
    const noFuse = shown && withoutFuse(shown)
    if (shown === undefined || noFuse !== undefined) return noFuse
    const { answering, holding } = heldBy(shown)
    if (answering.length === 0) return 'It is not known which process answers for the volume, and which only holds a descriptor.'
    if (holding.length === 0)
      return `Only what answers for the volume (${commsOf(answering)}) holds a descriptor of its connection.`
    return holding.every(({ plugin }) => plugin)
      ? `Beside what answers for the volume (${commsOf(answering)}), only the plugin itself holds a descriptor; plugin-killed strikes it.`
      : undefined
  },
}

function commsOf(holders: readonly Holder[]): string {
  return [...new Set(holders.map(({ comm }) => comm))].join(', ')
}

const HEALTH: Need = {
  words: 'the driver implements NodeGetVolumeHealth',
  missing: (_spec, shown) => {
    switch (shown?.health) {
      case 'no capability':
        return 'It does not implement NodeGetVolumeHealth: it has no capability GET_VOLUME_HEALTH.'
      case 'unimplemented':
        return 'It does not implement NodeGetVolumeHealth: it has the capability GET_VOLUME_HEALTH, and answers UNIMPLEMENTED.'
      default:
        return undefined
    }
  },
}

const STORAGE: Need = {
  words: 'the file has a helper that is the storage',
  missing: ({ helpers }) => (helpers.some(({ storage }) => storage) ? undefined : 'The file has no helper with storage: true.'),
}

const HELPER: Need = {
  words: 'the file has a helper that is not the storage',
  missing: ({ helpers }) =>
    helpers.some(({ storage }) => !storage) ? undefined : 'The file has no helper, or none that is not the storage.',
}

const SHIELD_NEED: Need = {
  words: 'the file has shield',
  missing: ({ shield }) => (shield === undefined ? 'The file does not say how the driver is started behind a shield.' : undefined),
}

/** Failures that strike what a shield brings with it, whatever the driver is as it is. */
const OF_SHIELD: readonly string[] = [
  ...['daemon-killed', 'daemon-hung', 'daemon-replaced', 'pod-replaced', 'all-pods-replaced'],
  ...['holder-killed', 'connection-aborted'],
]

/** By the ids of failures and mitigations. */
const NEEDS: Readonly<Record<string, Need>> = {
  'daemon-killed': besidePlugin('plugin-killed kills that process'),
  'daemon-hung': ANSWERED,
  'daemon-replaced': besidePlugin(
    'while that process is stopped, nobody answers a call for one more pod either. daemon-hung stops that process',
  ),
  'pod-replaced': ANSWERED,
  'all-pods-replaced': ANSWERED,
  'holder-killed': HOLDER,
  'helper-killed': HELPER,
  'staging-unmounted': {
    words: 'the driver mounts something at the staging path',
    missing: ({ volume }, shown) =>
      volume.staged === false
        ? 'It stages no volumes.'
        : shown && unmounted('staging', 'the staging path, although it stages volumes', shown),
  },
  'target-unmounted': {
    words: 'the driver mounts something at the target of a pod',
    missing: (_spec, shown) => shown && unmounted('target', 'the target of a pod', shown),
  },
  'connection-aborted': { words: 'the driver has a FUSE mount', missing: (_spec, shown) => shown && withoutFuse(shown) },
  'storage-hung': STORAGE,
  'storage-down': STORAGE,
  health: HEALTH,
  [SHIELDED]: SHIELD_NEED,
}

/** What a run of a driver offers, in the order in which it is shown; `needs`: what the driver has to have for it, after `where`. */
export const DRIVER_OFFER = {
  failures: DRIVER_FAILURES.filter(({ id }) => !(id in OF_OUR_PLUGIN)).map(offered),
  mitigations: DRIVER_MITIGATIONS.map(offered),
}

function offered({ id, title }: { readonly id: string; readonly title: string }): {
  readonly id: string
  readonly title: string
  readonly needs: string | undefined
} {
  return { id, title, needs: NEEDS[id]?.words }
}

function withoutFuse({ mounts, read }: Shown): string | undefined {
  if (mounts.some(({ connection }) => connection !== undefined)) return undefined
  const target = mounts.find(({ at }) => at === 'target')
  const instead = target === undefined ? '' : `: a mount of ${target.fsType} is at the target`
  return `It has made no FUSE mount${instead}${after(read)}.`
}

function unmounted(at: 'staging' | 'target', where: string, { mounts, read }: Shown): string | undefined {
  return mounts.some((one) => one.at === at) ? undefined : `It mounts nothing at ${where}${after(read)}.`
}

/** When the mounts were looked at, where that matters: a volume that does not read right may be mounted later. */
function after(read: Shown['read']): string {
  if (read === undefined || read.saw === 'right') return ''
  return ` (seen ${(read.afterMs / 1000).toFixed(1)} s after the answer to NodePublishVolume)`
}

/**
 * The cells for a driver, of which there is no model, and what is absent. `shown`: by its trial; undefined before it, and then less is absent.
 */
export function planDriver(
  spec: DriverSpec,
  choice: { readonly failures: readonly string[]; readonly mitigations: readonly string[]; readonly consumers: readonly string[] },
  shown?: Shown,
): { readonly cells: readonly PlannedCell[]; readonly absent: readonly Absent[] } {
  const wanted = (ids: readonly string[], id: string): boolean => ids.length === 0 || ids.includes(id)
  // A driver that has no shield is not said to lack one, unless it is asked for.
  const isSilent = (id: string): boolean => id === SHIELDED && spec.shield === undefined && !choice.mitigations.includes(id)
  const mitigations = DRIVER_MITIGATIONS.filter(({ id }) => wanted(choice.mitigations, id) && !isSilent(id))
  const cells: PlannedCell[] = []
  const absent: Absent[] = []
  for (const failure of DRIVER_FAILURES.filter(({ id }) => wanted(choice.failures, id))) {
    const impossible = OF_OUR_PLUGIN[failure.id]
    const missing = NEEDS[failure.id]?.missing(spec, shown)
    for (const mitigation of mitigations) {
      const isOfShield = mitigation.id === SHIELDED && OF_SHIELD.includes(failure.id)
      const reason = impossible ?? (isOfShield ? undefined : missing) ?? NEEDS[mitigation.id]?.missing(spec, shown)
      if (reason !== undefined) {
        absent.push({ failure: failure.id, mitigation: mitigation.id, reason })
        continue
      }
      const off = failure.id === 'machine-crash' || failure.id === 'daemon-hung' ? 'starts-during' : undefined
      const refusal = refusalOf(mitigation, spec, shown)
      const writerIsOff = failure.strikesStorage !== true || refusal !== undefined
      const kinds = DRIVER_CONSUMERS.filter(
        ({ id }) => wanted(choice.consumers, id) && id !== off && !(id === WRITER.id && writerIsOff),
      )
      if (failure.strikesStorage === true && refusal !== undefined && wanted(choice.consumers, WRITER.id))
        absent.push({ failure: failure.id, mitigation: mitigation.id, consumer: WRITER.id, reason: refusal })
      if (kinds.length > 0) cells.push({ failure, mitigation, consumers: Object.fromEntries(kinds.map(({ id }) => [id, null])) })
    }
  }
  return { cells, absent }
}

/** Why nobody can write to the volume; undefined if somebody can. */
function refusalOf({ id }: Mitigation, { shield }: DriverSpec, shown: Shown | undefined): string | undefined {
  if (shown?.refusesWrites !== undefined) return `The volume refuses writes: ${shown.refusesWrites}.`
  if (id !== SHIELDED || shield?.readOnly !== true) return undefined
  return 'Behind the shield the volume is read-only, because its daemon may lose a write when it is killed.'
}

/** The catalogue of such a run. */
export function driverCatalogue(catalogue: Catalogue): Catalogue {
  const failures = titles([firstUse, ...DRIVER_FAILURES])
  return {
    ...catalogue,
    failures,
    mitigations: titles(DRIVER_MITIGATIONS),
    consumers: titles(DRIVER_CONSUMERS),
    outcomes: OUTCOMES,
  }
}
