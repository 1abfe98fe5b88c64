import type { ScenarioRecord } from '../scenario-record.ts'

/*
 * What `lab run --json` writes, version 6 (docs/lab-record.md says the same in prose). All `…Ms` are milliseconds with fractions on
 * CLOCK_MONOTONIC, which every process of the machine reads alike; `atMs` counts from the start of its cell. Ids are lower-case words
 * joined by dashes, and each stands in the catalogue.
 */

/** An id of the catalogue's `failures`: `plugin-killed`. */
export type FailureId = string
/** An id of the catalogue's `mitigations`: `restore`. */
export type MitigationId = string
/** An id of the catalogue's `consumers`: `keeps-open`. */
type ConsumerId = string

/**
 * What came of a consumer, an id of the catalogue's `outcomes`; best first:
 * `works` no read failed, and none took a second or longer;
 * `waits` no read failed, at least one took a second or longer, and then came right;
 * `starts-late` could be started only once the volume was back, and no read failed;
 * `recovers` reads failed for a time, then came right in the same process;
 * `restarted` its process ended and another one took its place, whose reads are right;
 * `writes-to-host-recovers` it saw the node's own folder in place of the volume for a time, then the volume;
 * `undecided` it was not watched for long enough to say what comes of it: it stands for none of the others;
 * `errors` reads fail to the end;
 * `never-starts` it could not be started to the end;
 * `hangs` a read has not come back at the end;
 * `loses-unsynced` of the consumer that writes: records that write(2) or close(2) acknowledged, and fsync(2) did not, are not in the file at the end;
 * `writes-to-host` it sees the node's own folder in place of the volume to the end: what it writes lands on the node's disk;
 * `loses-synced` of the consumer that writes: records that fsync(2) acknowledged are not in the file at the end.
 */
export type OutcomeId =
  | 'works'
  | 'waits'
  | 'starts-late'
  | 'recovers'
  | 'restarted'
  | 'writes-to-host-recovers'
  | 'undecided'
  | 'errors'
  | 'never-starts'
  | 'hangs'
  | 'loses-unsynced'
  | 'writes-to-host'
  | 'loses-synced'

/**
 * How a cell compares with the model: `as-modelled`, every consumer came out as foreseen; `better` or `worse`, at least one did, and none
 * the other way; `different`, some better and some worse, or otherwise; `measured`, there is no model (another driver); `not-run`, see `why`.
 */
export type Verdict = 'as-modelled' | 'better' | 'worse' | 'different' | 'measured' | 'not-run'

/** How an id is to be shown. */
export interface Title {
  /** A few words: `Plugin killed`. */
  readonly title: string
  /** One or two sentences for somebody who does not know FUSE. */
  readonly words: string
}

/** All that a run was about and saw. */
export interface LabRecord {
  /** Of this shape: raised when a reader of the older one would misread it. Version 1 had only scenarios. */
  readonly version: 6
  readonly tool: {
    readonly name: string
    readonly version: string
    /** `no commit` outside a checkout. */
    readonly commit: string
  }
  /** The driver whose cells these are: `dummy-fuse-csi`, or the name in the file given by `--driver`. */
  readonly driver: string
  readonly node: {
    /** As `uname -r` prints it. */
    readonly kernel: string
    /** `host 252`, `nspawn 252`, `none`: whose systemd the cells that need one had, and its version. */
    readonly systemd: string
    readonly cpus: number
    /** `7.45`, as the kernel negotiates it. */
    readonly fuseProtocol?: string
    /** Of a run on a cluster (`--cluster`); all else of `node` is that node's. */
    readonly cluster?: ClusterInfo
  }
  /** Of a run on a cluster with `--beside`: the run on a bare node whose outcomes stand beside. */
  readonly bareNode?: BareNode
  /** Of a run on a cluster: where it came to something that the bare node does not come to, row by row. */
  readonly disagreements?: readonly Disagreement[]
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly tookMs: number
  /** How many cells ran at once. */
  readonly jobs: number
  /** Of the order in which the cells ran. */
  readonly seed: number
  /** Whether every cell and scenario that was chosen ran and came out as the model says. */
  readonly passed: boolean
  /** False where the run was ended before all that was chosen had begun; missing otherwise. */
  readonly complete?: false
  /** Every id in the order in which it is to be shown, whether it ran or not. */
  readonly catalogue: Catalogue
  /** The cells that were chosen, row by row (failure), also those that did not run. */
  readonly cells: readonly Cell[]
  /** Of a run with `--driver`: the cell without a failure that it began with, unless that could not be run. Its failure is `first-use`. */
  readonly firstUse?: Cell
  /** Combinations that make no sense, or that cannot be made to happen to the driver; without `consumer`, for every consumer. */
  readonly absent: readonly Absent[]
  /** The named scenarios that were chosen, in the order in which they ran. */
  readonly scenarios: readonly ScenarioRecord[]
}

interface ClusterInfo {
  /** Of Kubernetes: `v1.37.2`. */
  readonly version: string
  /** The name of the node. */
  readonly node: string
  /** The version of its kubelet, and its container runtime with the version: `containerd://2.4.2`. */
  readonly kubelet: string
  readonly runtime: string
  /** The image of the plugin and of the consumers. */
  readonly image: string
}

export interface BareNode {
  readonly version: string
  readonly commit: string
  readonly kernel: string
  /** ISO 8601, UTC. */
  readonly startedAt: string
}

export interface Disagreement {
  readonly failure: FailureId
  readonly mitigation: MitigationId
  readonly consumer: ConsumerId
  /** What was seen on the cluster. */
  readonly cluster: OutcomeId
  /** What was seen on the bare node, or what the model says of it. */
  readonly bareNode: OutcomeId
  /** Why they differ, where the model for clusters says so. */
  readonly why?: string
}

export interface Catalogue {
  readonly failures: Readonly<Record<FailureId, Title>>
  readonly mitigations: Readonly<Record<MitigationId, Title>>
  readonly consumers: Readonly<Record<ConsumerId, Title>>
  /** `rank`: 0 is best; `symbol`: one character that tells it without colour. */
  readonly outcomes: Readonly<Record<OutcomeId, Title & { readonly rank: number; readonly symbol: string }>>
}

export interface Absent {
  readonly failure: FailureId
  readonly mitigation: MitigationId
  readonly consumer?: ConsumerId
  readonly reason: string
}

/** One failure under one mitigation, met by every consumer at once, those of the volume that it strikes and a neighbour, on a node of its own. */
export interface Cell {
  readonly failure: FailureId
  readonly mitigation: MitigationId
  readonly verdict: Verdict
  /** Of `not-run`: why; of any verdict but `as-modelled` and `measured`: what differs, in words. */
  readonly why?: string
  /** ISO 8601, UTC. */
  readonly startedAt: string
  readonly tookMs: number
  /** When the failure struck. */
  readonly failureAtMs: number
  /** When all that was going to be mended had been mended; null if nothing was. */
  readonly mendedAtMs: number | null
  readonly consumers: readonly ConsumerResult[]
  /** Of another driver: the consumers that did not read right before the failure, so that nothing is said of them. */
  readonly unready?: readonly ConsumerId[]
  /** In the order of `atMs`. */
  readonly events: readonly CellEvent[]
  /** Processes first, in the order in which they started. */
  readonly lanes: readonly Lane[]
  readonly evidence: Evidence
  /** Of another driver: what came of the volume after that, as its pods left the node. */
  readonly teardown?: Teardown
}

/** What one consumer saw, measured by itself, from the failure on unless it says otherwise. */
export interface ConsumerResult {
  readonly consumer: ConsumerId
  /** What the model says; `seen` where there is no model. */
  readonly expected: OutcomeId
  /** What the model allows as well: a race that nobody decides. */
  readonly alsoExpected?: readonly OutcomeId[]
  readonly seen: OutcomeId
  /** Of a run on a cluster: what the model says of the bare node, and with `--beside` what was seen there. */
  readonly bareNode?: { readonly modelled: readonly OutcomeId[]; readonly seen?: OutcomeId }
  /** Why the model says so; empty where there is none. */
  readonly reason: string
  /** The source of that: `original project`, a kernel file, an issue, `mount_namespaces(7)`. */
  readonly source: string
  /** Over the whole cell. */
  readonly reads: Reads
  /** Reads before the failure that were not right. */
  readonly failedBefore: number
  /** The longest time that one read took, or has taken so far, of those that came back after the failure or not at all. */
  readonly longestStallMs: number
  /** When the longest began; null if there was no such read. */
  readonly longestStallAtMs: number | null
  /**
   * From the failure to the end of the first right read that came through it: the first after the last one that was not right; where none was, the first
   * that took long; where no read did badly, the first that began after the failure. Null if there was none.
   */
  readonly firstRightAfterFailureMs: number | null
  /** Whether the descriptor or memory map that was there before the failure still reads right at the end; null for who holds none. */
  readonly descriptorLived: boolean | null
  /** How often its process was started again. */
  readonly restarts: number
  /** Whether it could make a file where the volume ought to be, on the node's own disk, after the failure. */
  readonly wroteToNode: boolean
  /**
   * For how long it was watched after the failure: from the repair to the end of the cell, or from its own start if that was later (from the moment at
   * which it was asked for, if it never started).
   */
  readonly watchedMs: number
  /** Lines of /proc/PID/mountinfo at the end that concern the volume, as its own process sees them. */
  readonly mountTable: readonly string[]
  /**
   * A folder that its mount shows at the end and that was deleted, as its file system names it: what is written there is lost. A new folder may be at
   * that path. Missing if there is none.
   */
  readonly deletedFolder?: string
  /** Of the consumer that writes, if it came to that; `reads` are rounds of writes then. */
  readonly writes?: Writes
}

/** What a consumer wrote, and what of it a new pod found at the end, when all others had left. */
interface Writes {
  /** One for each way in which a record is acknowledged. */
  readonly ways: readonly AcknowledgedWrites[]
  /** Why nothing, or not all, is known of what was lost; missing if each file was read back. */
  readonly notReadBack?: string
}

/** Records of one way. Over the whole cell, unless it says otherwise. */
export interface AcknowledgedWrites {
  /** What returned without an error, when the record counted as acknowledged: write(2) alone, or fsync(2) or close(2) after it. */
  readonly by: 'write' | 'fsync' | 'close'
  readonly acknowledged: number
  /** Of the acknowledged ones, the records that the new pod did not find, as far as files were read back. */
  readonly lost: number
  /** Of the lost ones, those that were acknowledged before the failure. */
  readonly lostBefore: number
  /** Of the acknowledged ones, the records that are not in the files of the storage at the end; missing where the driver's file does not say where these are. */
  readonly notInStorage?: number
  /** Attempts that failed, by errno name; `SHORT` for a write that took a part of the record. */
  readonly refused: Readonly<Record<string, number>>
  /** The longest time that one attempt took which came back after the failure. */
  readonly longestMs: number
}

export interface Reads {
  /** Every byte as it must be. */
  readonly right: number
  /** Answered, with other bytes. */
  readonly wrong: number
  /**
   * By errno name: `ENOTCONN`. `SIGBUS` of a memory map; `MISSING` for a file that is not there on a FUSE mount; `HUNG` (at most 1) for a read that has not come back at the end.
   */
  readonly failed: Readonly<Record<string, number>>
}

/**
 * Something that happened. `right`, `wrong`, `error`: reads of a consumer that came to the same one after another, taken together: from
 * `atMs` (the first began) to `until` (the last one ended), `count` of them. `stall`: one read that took longer than 50 ms, from `atMs` to `until`.
 * `log`: a line of note. `start`, `end`: a process; `restart`: one that takes another's place. `failure`: the failure itself;
 * `mended`: what the outside world does about it is done.
 */
export interface CellEvent {
  readonly atMs: number
  /** An id of the cell's lanes. */
  readonly lane: string
  readonly kind: 'start' | 'end' | 'failure' | 'mended' | 'restart' | 'right' | 'wrong' | 'error' | 'stall' | 'log'
  /** One line of words; of `error` the errno's name: `ENOTCONN`. */
  readonly text: string
  readonly until?: number
  readonly count?: number
}

/** A line of the timeline. A process that is started again keeps its lane. */
export interface Lane {
  readonly id: string
  readonly kind: 'process' | 'consumer'
  readonly title: string
  /** Of the first process, as the cell's own node numbers it. */
  readonly pid?: number
}

export interface Evidence {
  /**
   * Lines that processes wrote, in the order of `atMs`: of each lane the first and last 30, and 30 before and after the failure, the repair, and the first
   * and the last time at which a consumer read right again. Where lines are left out, a line says how many.
   */
  readonly logs: readonly { readonly lane: string; readonly atMs: number; readonly text: string }[]
  /** Lines of the node's mountinfo that concern its volumes, just before the failure and at the end. */
  readonly mountsBefore: readonly string[]
  readonly mountsAfter: readonly string[]
  /** Which process held which FUSE descriptor, just before the failure and at the end: `dummy-fuse[231] fd 5: connection 74`. */
  readonly holdersBefore: readonly string[]
  readonly holdersAfter: readonly string[]
  /**
   * What lies on the node's own disk below the mount points at the end: paths. Anything there was written past the volume. Of another driver, without
   * what was there before the failure.
   */
  readonly disk: readonly string[]
  /**
   * Of another driver: what it and its helpers have written outside of its state by the end, in the order of the paths. It is in no file of the machine: a
   * cell has a root of its own.
   */
  readonly written?: readonly Written[]
  /** How much more it has written than is listed. */
  readonly writtenMore?: number
}

/** A file that is new, or that differs from that of the machine. Its content is not recorded. */
export interface Written {
  readonly path: string
  /** `deleted`: the machine has something there, and the cell has not. A `folder` is new and empty. */
  readonly kind: 'file' | 'folder' | 'link' | 'socket' | 'pipe' | 'device' | 'deleted'
  /** Of a file, in bytes. */
  readonly size?: number
}

/**
 * How a cell ended, after its consumers had been watched: every pod of the cell leaves, the volume is unpublished for each and then unstaged, and a new
 * pod is given it and leaves again. The kubelet makes a call again that fails, which is done here for a limited number of attempts.
 */
export interface Teardown {
  readonly tookMs: number
  /** For the pods of the cell, NodeUnpublishVolume first. NodeUnstageVolume is missing where the volume is not staged, or could not be unpublished for each. */
  readonly calls: readonly TeardownCall[]
  /** What was left after those calls. */
  readonly left: Leftovers
  /** Missing if there was no time for one, or if the plugin answered none of the calls. */
  readonly newPod?: NewPod
}

export interface TeardownCall {
  readonly rpc: 'NodeUnpublishVolume' | 'NodeUnstageVolume'
  /** The target path, or the staging path. */
  readonly path: string
  readonly succeeded: boolean
  readonly attempts: number
  /** All attempts, and the time between them. */
  readonly tookMs: number
  /** Of the last attempt that failed, also where a later one succeeded. */
  readonly failure?: {
    /** The name of the gRPC status; where the call was answered OK and the kubelet cannot remove the folder, that of the errno: `ENOTEMPTY`. */
    readonly code: string
    readonly message: string
  }
}

export interface Leftovers {
  /** Lines of the node's mountinfo: mounts that were not there before the volume was. */
  readonly mounts: readonly string[]
  /** The target and staging folders that are still there. `names`: what is in them on the node's own disk, below whatever is mounted there. */
  readonly folders: readonly { readonly path: string; readonly names: readonly string[] }[]
  /** Which process holds which FUSE descriptor, of connections that are mounted nowhere on the node any more. */
  readonly holders: readonly string[]
}

/** A pod with private mounts that came when the pods of the cell had left. */
export interface NewPod {
  /**
   * What its last read came to: `right`, if the last reads of several on end were; `wrong`, the errno's name, or `HUNG` for one that did not come back.
   * `not started`, if its volume could not be published, or its container could not be started.
   */
  readonly saw: string
  /** Of `not started`: why. */
  readonly why?: string
  /** From when it was asked for. */
  readonly watchedMs: number
  /** Whether it could make a file where the volume ought to be, on the node's own disk. */
  readonly wroteToNode: boolean
  /** As it left. */
  readonly calls: readonly TeardownCall[]
}
