import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf'
import { codeOf } from '../../src/errors.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import { Reader } from '../support/c-reader.ts'
import { CsiClient, outcome } from '../support/csi-client.ts'
import { mountCapability } from '../support/plugin.ts'
import type { Sandbox } from '../support/sandbox.ts'
import type { Diary } from './diary.ts'
import type { VolumePlaces } from './judge.ts'
import type { Site } from './site.ts'
import type { Circumstances, Tally } from './tally.ts'

/** Milliseconds that the kubelet gives a call (csiTimeout, pkg/volume/csi/csi_plugin.go). */
const KUBELET_TIMEOUT = 120_000

/**
 * Milliseconds that a call may take, whatever is broken: the ten seconds of --call-deadline, three for which the plugin may be stopped when the answer is due, and
 * two in which a busy machine connects and takes the answer.
 */
const LONGEST_CALL = 15_000

/** The errors after which the kubelet calls again and counts the volume as perhaps mounted (isFinalError, pkg/volume/csi/csi_client.go). */
const NOT_FINAL: ReadonlySet<string> = new Set(['CANCELLED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'ABORTED'])

/**
 * A published volume whose session was lost, and whose dead mount a successor of its daemon has taken off: NodeGetVolumeStats finds nothing at its path,
 * after which the CO calls again (CSI spec, NodeGetVolumeStats errors).
 */
function isLost(rpc: string, code: string): boolean {
  return rpc === 'NodeGetVolumeStats' && code === 'NOT_FOUND'
}

/** The calls that change a volume. */
const CHANGING: ReadonlySet<string> = new Set(['NodeStageVolume', 'NodePublishVolume', 'NodeUnpublishVolume', 'NodeUnstageVolume'])

/** The words of grpc-js for a connection that there was not, or that broke: the plugin has not answered. */
const BROKEN = /^(No connection established|Connection dropped|(read|write) E[A-Z]+|Stream refused)/

/** grpc-js has sent nothing where there was no connection. */
function isUnsent(details: string): boolean {
  return details.startsWith('No connection established')
}

/** Microseconds between two rounds of a reader. */
const READER_INTERVAL = 50_000

/** What reads of a session fail with whose daemon is gone. */
const DEAD: ReadonlySet<string> = new Set(['ENOTCONN', 'ECONNABORTED'])

/** Rounds in which a reader may find the bare directory of a target that is bound anew: it is unmounted first. Of a wrong bind all would. */
const MOST_BARE = 2

type Step = 'stage' | 'publish' | 'watch' | 'unpublish' | 'unstage'

const NEXT: Readonly<Record<Step, Step>> = {
  stage: 'publish',
  publish: 'watch',
  watch: 'unpublish',
  unpublish: 'unstage',
  unstage: 'stage',
}

/** What all volumes of a churn share. */
export interface Surroundings {
  readonly sandbox: Sandbox
  readonly site: Site
  readonly tally: Tally
  readonly diary: Diary
  /** Milliseconds before the first retry; each further one waits twice as long, up to {@link LONGEST_BACKOFF} times this. */
  readonly backoff: number
  /** Whether a process has been killed in the last seconds that takes sessions along. `since` is of performance.now(). */
  readonly excused: (since: number) => boolean
  /**
   * Whether a keeper has been killed in the last seconds. Its daemon then stops for good, and unmounts what nobody holds open: a reader that opens its
   * file after that finds the bare directory until the plugin has restored the volume. `since` is of performance.now().
   */
  readonly unmounted: (since: number) => boolean
}

/** The kubelet goes on doubling to two minutes; a run of kills has to make progress. */
const LONGEST_BACKOFF = 16

/** A volume that is staged, published, read, unpublished and unstaged again and again, in steps that are retried as the kubelet does. */
export class VolumeLife {
  readonly id: string
  readonly #around: Surroundings
  readonly #staging: string
  readonly #target: string
  #step: Step = 'stage'
  #failures = 0
  #due = 0
  #reader: { readonly process: Reader; readonly since: number } | undefined

  constructor(id: string, around: Surroundings) {
    this.id = id
    this.#around = around
    this.#staging = join(around.sandbox.directory('kubelet', id), 'globalmount')
    this.#target = join(around.sandbox.directory('pods', id), 'mount')
  }

  /** Where it is mounted. */
  get places(): VolumePlaces {
    return { id: this.id, staging: this.#staging, target: this.#target }
  }

  /** When the next step may be taken, in milliseconds of performance.now(). */
  get due(): number {
    return this.#due
  }

  /** Whether it is staged and published nowhere. */
  get atRest(): boolean {
    return this.#step === 'stage' && this.#failures === 0
  }

  /** The step that is next, for people. */
  describe(): string {
    return `${this.id}: ${this.#step} failed ${this.#failures} times`
  }

  /** Takes one step, or fails to and is due again later. */
  async advance(): Promise<void> {
    const done = await this.#take()
    if (!done) {
      const wait = this.#around.backoff * Math.min(2 ** this.#failures, LONGEST_BACKOFF)
      this.#failures++
      this.#due = performance.now() + wait
      return
    }
    this.#failures = 0
    this.#due = 0
    if (this.#step === 'unstage') this.#around.tally.lives++
    this.#step = NEXT[this.#step]
  }

  async #take(): Promise<boolean> {
    const volumeId = this.id
    const volumeCapability = mountCapability()
    switch (this.#step) {
      case 'stage':
        makeDirectory(this.#staging)
        return await this.#call(Node.method.nodeStageVolume, { volumeId, stagingTargetPath: this.#staging, volumeCapability })
      case 'publish': {
        const request = { volumeId, stagingTargetPath: this.#staging, targetPath: this.#target, volumeCapability }
        if (!(await this.#call(Node.method.nodePublishVolume, request))) return false
        await this.#startReader()
        return true
      }
      case 'watch': {
        const watched = await this.#call(Node.method.nodeGetVolumeHealth, { volumeId })
        return watched && (await this.#watchStats())
      }
      case 'unpublish':
        // The pod has ended before.
        await this.#stopReader()
        if (!(await this.#call(Node.method.nodeUnpublishVolume, { volumeId, targetPath: this.#target }))) return false
        return this.#removed(this.#target)
      case 'unstage':
        if (!(await this.#call(Node.method.nodeUnstageVolume, { volumeId, stagingTargetPath: this.#staging }))) return false
        return this.#removed(this.#staging)
    }
  }

  /** The kubelet asks for figures in passing, and does not insist. */
  async #watchStats(): Promise<boolean> {
    await this.#call(Node.method.nodeGetVolumeStats, { volumeId: this.id, volumePath: this.#target })
    return true
  }

  /** Calls once, over a connection of its own, as the kubelet does. Tells whether the answer was OK. */
  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<boolean> {
    const { site, tally, diary } = this.#around
    const ended = CHANGING.has(method.name) ? diary.begin(this.id) : undefined
    using client = new CsiClient(site.socket)
    const began = performance.now()
    const { code, details } = await outcome(client.call(method, request, KUBELET_TIMEOUT))
    const ms = performance.now() - began
    ended?.(code === 'OK' ? 'ok' : isUnsent(details) ? 'unsent' : 'failed')
    tally.call(method.name, code, ms, details, this.#circumstances(code, details, began))
    const what = `${method.name} of ${this.id}: ${code}: ${details}`
    if (code !== 'OK' && !NOT_FINAL.has(code) && !isLost(method.name, code)) tally.finding(`final: ${what}\n${site.log(this.id)}`)
    if (ms > LONGEST_CALL) tally.finding(`it took ${Math.round(ms)} ms: ${what}\n${site.log(this.id)}`)
    return code === 'OK'
  }

  #circumstances(code: string, details: string, began: number): Circumstances {
    if (code === 'UNAVAILABLE' && BROKEN.test(details)) return 'unanswered'
    const effects = this.#around.diary.effects(this.id, began, performance.now())
    if (effects.has('stopped')) return 'stopped'
    return effects.has('restoring') ? 'restoring' : 'undisturbed'
  }

  async #startReader(): Promise<void> {
    const file = join(this.#target, 'dummy-file.txt')
    const since = performance.now()
    this.#reader = {
      process: await Reader.start(this.#around.sandbox, { mode: 'held', file, intervalUs: READER_INTERVAL }),
      since,
    }
  }

  /** Ends the reader, and judges what it has read. */
  async #stopReader(): Promise<void> {
    if (this.#reader === undefined) return
    const { process, since } = this.#reader
    this.#reader = undefined
    const { right, wrong, failed } = await process.summary()
    const { tally, site, excused, unmounted } = this.#around
    tally.reads('right', right)
    for (const [errno, count] of Object.entries(failed)) tally.reads(errno, count)
    if (wrong > 0) tally.finding(`${this.id}: ${wrong} reads were wrong\n${site.log(this.id)}`)
    const expected = ([errno, count]: readonly [string, number]): boolean =>
      DEAD.has(errno) || (errno === 'ENOENT' && (count <= MOST_BARE || unmounted(since)))
    const unexpected = Object.entries(failed).filter((one) => !(excused(since) && expected(one)))
    if (unexpected.length > 0) tally.finding(`${this.id}: reads failed: ${JSON.stringify(failed)}\n${site.log(this.id)}`)
  }

  /** Removes a directory as the kubelet does, by rmdir(2) alone. */
  #removed(path: string): boolean {
    try {
      rmdirSync(path)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true
      this.#around.tally.finding(`${path} cannot be removed after the call: ${codeOf(error) ?? String(error)}`)
      return false
    }
    return true
  }
}

/** Makes a directory that may be there. mkdir(2) does not ask a file system that is mounted there, which may hang; stat(2) would. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
}
