import { PROTOCOL } from '../fuse/protocol/constants.ts'
import { type ReadRecord, recordId, type SessionRecord } from './session-record.ts'

/** A descriptor out of the store. */
export interface StoredDescriptor {
  readonly fd: number
  readonly name: string
  /** The kernel's number of its connection; undefined where the kernel does not tell. */
  readonly connection: number | undefined
  /** Whether its connection was aborted or unmounted: it polls POLLERR. */
  readonly dead: boolean
}

/** What a successor does with one session. Each is done by itself; none stops another. */
export type Step =
  /** Serve it. `storeAgain`: the store has more than one descriptor under its name. */
  | { readonly kind: 'serve'; readonly fd: number; readonly record: SessionRecord; readonly storeAgain: boolean }
  /** Serve it as the mount table describes it, for there is no record that could be read. `storeAgain`: as for `serve`. */
  | { readonly kind: 'recover'; readonly fd: number; readonly name: string; readonly storeAgain: boolean; readonly why: string }
  /** Keep it, unread, for a program that knows more. */
  | {
      readonly kind: 'hold'
      readonly fd: number
      readonly id: string
      readonly record: SessionRecord | undefined
      readonly why: string
    }
  /** Let go of a descriptor; `forget`: and of all that the store has by that name. */
  | { readonly kind: 'release'; readonly fd: number; readonly name: string; readonly forget: boolean; readonly why: string }
  /** The session has ended; what it left at its path is dead. */
  | { readonly kind: 'cleanUp'; readonly record: SessionRecord; readonly why: string }
  /** The record cannot be used. */
  | { readonly kind: 'discard'; readonly id: string; readonly damaged: boolean; readonly why: string }

/** Why a session cannot be taken over after a crash on kernels before 6.9, which have no FUSE_NOTIFY_RESEND. */
const LOST = 'this kernel cannot send its lost requests again (Linux 6.9 can), and they would hang for ever'

/** What a successor knows beside descriptors and records. */
export interface Circumstances {
  readonly bootId: string
  /** Whether the predecessor answered all that it had read before it ended. */
  readonly drained: boolean
  /** Whether this kernel can be asked for lost requests again. */
  readonly resends: boolean
}

/** What is to be done about each descriptor that was handed over and each record that was found. Looks at nothing but its arguments. */
export function planTakeover(
  descriptors: readonly StoredDescriptor[],
  records: readonly ReadRecord[],
  now: Circumstances,
): readonly Step[] {
  const byName = Map.groupBy(descriptors, ({ name }) => name)
  const known = new Set(records.map(recordId))
  const strangers = [...byName].filter(([name]) => !known.has(name))
  return [
    ...records.flatMap((read) => stepsFor(read, byName.get(recordId(read)) ?? [], now)),
    ...strangers.flatMap(([, group]) => withoutRecord(group, 'there is no record of it', now)),
  ]
}

function stepsFor(read: ReadRecord, group: readonly StoredDescriptor[], now: Circumstances): readonly Step[] {
  if (read.kind === 'damaged') {
    const why = `its record is damaged: ${read.why}`
    return [{ kind: 'discard', id: read.id, damaged: true, why }, ...withoutRecord(group, why, now)]
  }
  const id = recordId(read)
  if (read.kind === 'newer') {
    const why = `its record is of format ${read.version}, which a newer dummy-fused wrote`
    return group.map((one, index) =>
      index === 0 ? { kind: 'hold', fd: one.fd, id, record: undefined, why } : releaseOf(one, false, usedTwice(one)),
    )
  }
  const { record } = read
  if (record.bootId !== now.bootId) {
    return [
      { kind: 'discard', id, damaged: false, why: 'it is from before the last boot' },
      ...withoutRecord(group, 'its record is of another boot', now),
    ]
  }
  const live = group.filter(({ dead }) => !dead)
  const fitting = live.filter(({ connection }) => connection === undefined || connection === record.connection)
  const [chosen] = fitting
  const others = group.filter((one) => one !== chosen)
  if (chosen === undefined) {
    const why = group.length === 0 ? 'its descriptor was not kept' : 'its connection was cut'
    return [...others.map((one) => releaseOf(one, true, why)), { kind: 'cleanUp', record, why }]
  }
  if (!record.negotiated.resend && !now.drained) {
    const why = `its daemon died, and ${LOST}`
    return [...group.map((one) => releaseOf(one, true, why)), { kind: 'cleanUp', record, why }]
  }
  const step: Step = isSpoken(record)
    ? { kind: 'serve', fd: chosen.fd, record, storeAgain: others.length > 0 }
    : {
        kind: 'hold',
        fd: chosen.fd,
        id,
        record,
        why: `it speaks version 7.${record.negotiated.minor} of the FUSE protocol; this dummy-fused knows 7.${PROTOCOL.oldestMinor} to 7.${PROTOCOL.newestMinor}`,
      }
  return [...others.map((one) => releaseOf(one, false, usedTwice(one))), step]
}

/** Descriptors of one name. Those that are copies of one another count once. */
function withoutRecord(group: readonly StoredDescriptor[], why: string, { drained, resends }: Circumstances): readonly Step[] {
  return group.map((one, index) => {
    if (!resends && !drained) return releaseOf(one, true, `${why}, and ${LOST}`)
    if (one.dead) return releaseOf(one, group.length === 1, `${why}, and its connection was cut`)
    const before = group.slice(0, index)
    if (one.connection !== undefined && before.some(({ connection }) => connection === one.connection))
      return releaseOf(one, false, usedTwice(one))
    return { kind: 'recover', fd: one.fd, name: one.name, storeAgain: group.length > 1, why }
  })
}

function usedTwice({ name }: StoredDescriptor): string {
  return `the name ${name} was used twice`
}

function releaseOf({ fd, name }: StoredDescriptor, forget: boolean, why: string): Step {
  return { kind: 'release', fd, name, forget, why }
}

function isSpoken({ negotiated }: SessionRecord): boolean {
  return negotiated.minor >= PROTOCOL.oldestMinor && negotiated.minor <= PROTOCOL.newestMinor
}
