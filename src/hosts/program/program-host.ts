import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CallContext, isCallEnded, RunningCall, unlessAborted } from '../../call-context.ts'
import { codeOf, errnoMeaning, messageOf, UsageError, withRemedy } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import type { Libc } from '../../os/libc.ts'
import { detachLayers } from '../../os/mounts/detaching.ts'
import { isFuse, type MountTable } from '../../os/mounts/mount-table.ts'
import type { Prober } from '../../os/mounts/prober.ts'
import { ChildProgram, describeEnd } from '../../os/processes/child-program.ts'
import { processStat, sendSignal } from '../../os/processes/processes.ts'
import { randomHex } from '../../os/random.ts'
import { environmentOf, filesOf, stopCommandOf, type VolumeValues } from '../../program-file/command.ts'
import type { ProgramSpec } from '../../program-file/spec.ts'
import { SecretTexts } from '../../secrets.ts'
import { cannotStart } from '../daemon-process.ts'
import type { ScopeChoice } from '../daemon-starter.ts'
import { isStopped, toDaemon } from '../found-daemon.ts'
import { fuseDeviceProblem } from '../fuse-device.ts'
import { type Daemon, type FuseHost, HostError, type VolumeSource } from '../host.ts'
import type { StartQueue } from '../start-queue.ts'
import { detachEverywhere } from './leftovers.ts'
import { openOutput, ProgramOutput } from './output.ts'
import type { PrivateFolder, PrivatePlace } from './private-folder.ts'
import { devicesOf, holdersOf, killAll, processesOf, START_VARIABLE } from './processes.ts'
import { keyOf, type ProgramRecord, type ProgramRecords, runningOf } from './records.ts'
import type { Shields } from './shields.ts'

/** How the command of a program is executed. */
export interface ProgramExecution {
  readonly file: string
  readonly args: readonly string[]
  /** The same without a scope of systemd's, where this has one. */
  readonly plain?: ProgramExecution
}

/** The limits of starting and ending programs, in milliseconds. */
interface ProgramLimits {
  /** Between two looks at the mount table for a mount that is to come. */
  readonly programLook: number
  /** Between two searches of /proc for the processes of a program whose command has returned. */
  readonly programSearch: number
  /** Within which systemd executes a program in a scope. */
  readonly scopeWait: number
  /** For which a session that another container has left waits for its turn. */
  readonly resume: number
}

/** The dependencies of {@link ProgramHost}. */
export interface ProgramHostParts {
  readonly spec: ProgramSpec
  /**
   * The words of the command that mounts a volume. `resumes`: that goes on with a session which another container has left. Throws UsageError for a value that would be read as
   * something else.
   */
  readonly words: (values: VolumeValues, resumes: boolean) => readonly string[]
  /** That command is a shield, which runs the program. */
  readonly shielded: boolean
  /** A holder keeps the sessions of shields that end with this container. */
  readonly held: boolean
  readonly shields: Shields
  /** Makes the execution of a command's words. */
  readonly execution: (words: readonly string[], description: string) => ProgramExecution
  /** The variables that every program inherits. */
  readonly environment: Readonly<Record<string, string>>
  readonly scopes: ScopeChoice
  readonly queue: StartQueue
  readonly records: ProgramRecords
  readonly folder: PrivateFolder
  /** The mount table by paths without symbolic links. */
  readonly table: MountTable
  readonly prober: Pick<Prober, 'ask'>
  readonly libc: Libc
  readonly bootId: string
  readonly limits: ProgramLimits
  readonly log: Logger
}

/** The part of a call's time for undoing in which processes that were killed have to end. */
const KILL_SHARE = 0.75

/** The part of a call's time in which a shield and its program may end by themselves. */
const SHIELD_SHARE = 0.5

/** A program that has been executed and has not mounted yet. */
interface Attempt {
  readonly record: ProgramRecord
  readonly child: ChildProgram
  readonly output: ProgramOutput
}

/** What a program is executed for. */
interface Begun {
  readonly path: string
  readonly values: VolumeValues
  readonly parameters: Readonly<Record<string, string>>
}

/** The outcome of waiting for a mount. */
type Outcome =
  | { readonly kind: 'mounted'; readonly device: string }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'no scope'; readonly why: string }

/**
 * `serve --program`: any FUSE program for each volume. The exit status of its command decides nothing alone: a volume counts as mounted when the mount table has a new
 * FUSE mount at its path and that has answered statfs(2). A start that fails, or whose call ends, is undone before the call is answered: all processes of it are
 * killed and waited for, and what they have mounted is unmounted, so that no mount of it appears later.
 */
export class ProgramHost implements FuseHost {
  readonly #parts: ProgramHostParts
  readonly #outputs = new Map<string, ProgramOutput>()
  /** When the program of a path was first asked to end (performance.now()). */
  readonly #ending = new Map<string, number>()
  /** Paths whose processes are still in the kernel, and are waited for. */
  readonly #lost = new Set<string>()
  /** Paths of sessions that another container has left, and whose shields are still to be started. */
  readonly #resuming = new Set<string>()

  constructor(parts: ProgramHostParts) {
    this.#parts = parts
  }

  /**
   * Undoes the starts that the former plugin has not finished, goes on with the sessions that another container has left, and to log what programs say. To be called once,
   * before any other call.
   */
  begin(): void {
    const { records, log, spec } = this.#parts
    for (const record of records.all()) {
      if (record.device === undefined) {
        log.info(`Undoing a start of ${spec.name} at ${record.path} that the former plugin has not finished`)
        this.#undoLater(record)
      } else if (this.#isLeft(record)) this.#resume(record)
      else this.#outputs.set(record.path, this.#outputOf(record.path, this.#label(record.processes[0]?.pid), {}, 'end'))
    }
  }

  async start(path: string, options: readonly string[], call: CallContext, source: VolumeSource): Promise<Daemon | undefined> {
    await this.#undoFormer(path, call)
    return await this.#parts.queue.run(path, call, async (waits) => await this.#start(path, options, call, source, waits))
  }

  daemonAt(path: string, device: string | undefined): Promise<Daemon | undefined> {
    return Promise.resolve(this.#parts.records.daemonAt(path, device))
  }

  /** Has the program end by the signal or the command of its file, and waits for that. Never rejects: what it does not do, the unmount and SIGKILL do. */
  async beforeUnmount(path: string, call: CallContext): Promise<void> {
    const { spec, records, log } = this.#parts
    const { by, signal, within } = spec.stop
    const record = records.at(path)
    if (record?.device === undefined || by === 'unmount' || this.#ending.has(path)) return
    this.#ending.set(path, performance.now())
    const time = Math.min(within, call.remaining() / 2)
    if (by === 'command') await this.#runStopCommand(record, time)
    else {
      log.info(`kill -${signal} the ${spec.name} of ${path}`)
      for (const { pid } of runningOf(record)) sendSignal(pid, signal)
    }
    const end = performance.now() + time
    while (this.#isMounted(record) && performance.now() < end && !call.signal.aborted) await sleep(this.#parts.limits.programLook)
  }

  async stop(path: string, _device: string | undefined, grace: number, call: CallContext): Promise<void> {
    const { records, spec } = this.#parts
    const record = records.at(path)
    if (record === undefined) return
    // What has not served has nothing to write.
    if (grace > 0 && record.device !== undefined) await this.#ends(record, call)
    // What is in the kernel after a start that failed is waited for elsewhere.
    const left = await killAll(record, this.#lost.has(path) && grace === 0 ? 0 : call.remaining())
    if (left.length > 0)
      throw new HostError('unavailable', `the ${spec.name} of ${path} was killed, but is still in the kernel; call again`)
    this.#ending.delete(path)
    this.#detach(record, [])
    this.#forgetStart(path)
  }

  /** Removes what is kept of a volume that is not staged any more: its secrets, and what its program said. */
  forget(path: string): void {
    this.#outputs.get(path)?.close()
    this.#outputs.delete(path)
    this.#parts.folder.remove(keyOf(path))
  }

  unmountedSession(path: string): string | undefined {
    const record = this.#parts.records.at(path)
    if (record === undefined || this.#ending.has(path) || this.#isMounted(record) || runningOf(record).length === 0)
      return undefined
    return record.device
  }

  async silence(path: string, device: string, time?: number): Promise<string | undefined> {
    const { records, shields } = this.#parts
    if (this.#resuming.has(path) && records.at(path)?.device === device) return 'its shield is about to be started'
    return records.isShielded(path, device) ? await shields.silence(path, time) : undefined
  }

  unavailableReason(): string | undefined {
    return fuseDeviceProblem()
  }

  async #start(
    path: string,
    options: readonly string[],
    call: CallContext,
    source: VolumeSource,
    waits: () => void,
  ): Promise<Daemon | undefined> {
    const { spec, scopes, log } = this.#parts
    const values = this.#prepare(path, options, source)
    const words = this.#parts.words(values, false)
    const execution = scopes.choose(this.#parts.execution(words, `${spec.name} ${path}`))
    log.info(`exec ${spec.name} [${words.slice(1).join(' ')}]`)
    // A program waits for its storage most of the time, and takes no processor then.
    waits()
    const begun = { path, values, parameters: source.parameters }
    const outcome = await this.#attempt(begun, execution, call)
    if (outcome.kind !== 'no scope') {
      if (execution.plain !== undefined) scopes.given()
      return outcome.daemon
    }
    scopes.refused(outcome.why)
    const plain = await this.#attempt(begun, execution.plain ?? execution, call)
    return plain.kind === 'no scope' ? undefined : plain.daemon
  }

  /** Executes the command and waits for its mount. Rejects with HostError, or the reason of the call's signal; then nothing of it is left. */
  async #attempt(
    begun: Begun,
    execution: ProgramExecution,
    call: CallContext,
  ): Promise<
    { readonly kind: 'mounted'; readonly daemon: Daemon | undefined } | { readonly kind: 'no scope'; readonly why: string }
  > {
    call.signal.throwIfAborted()
    const { folder, spec } = this.#parts
    const { path } = begun
    const attempt = this.#execute(this.#newRecord(begun), execution, begun.values)
    const began = performance.now()
    let failure: Exclude<Outcome, { kind: 'mounted' }> | { readonly kind: 'thrown'; readonly error: unknown }
    try {
      const outcome = await this.#mounts(attempt, execution.plain !== undefined, call)
      if (outcome.kind === 'mounted') {
        const daemon = this.#serves(attempt, outcome.device)
        if (spec.keepSecrets === 'mounted') folder.removeSecrets(keyOf(path))
        return { kind: 'mounted', daemon }
      }
      failure = outcome
    } catch (error) {
      failure = { kind: 'thrown', error }
    }
    const said = attempt.output.said()
    const stuck = await this.#undo(attempt.record, call.cleanUp)
    if (failure.kind === 'no scope') return failure
    if (failure.kind === 'failed') throw new HostError('unavailable', `${failure.why}${stuck}`)
    const { error } = failure
    if (!isCallEnded(error) || error.kind === 'cancelled') throw error
    const time = ((performance.now() - began) / 1000).toFixed(1)
    throw new HostError(
      'timeout',
      `${spec.name} did not mount within ${time} s and was killed${stuck}${said === undefined ? '' : `; it said: ${said}`}`,
    )
  }

  /** Writes the private files of a volume, and gives its placeholders their values. Throws HostError. */
  #prepare(path: string, mountFlags: readonly string[], { volumeId, parameters, secrets }: VolumeSource): VolumeValues {
    const { spec, folder } = this.#parts
    try {
      const place = folder.make(keyOf(path))
      const known = this.#secrets(place, volumeId, secrets)
      const values: VolumeValues = {
        target: path,
        volumeId,
        parameters,
        mountFlags,
        secrets: known,
        secretFile: (name) => place.file('secret', name),
        file: (name) => place.file('file', name),
      }
      for (const [name, text] of Object.entries(known)) folder.write(place.file('secret', name), text)
      for (const [name, text] of Object.entries(filesOf(spec, values))) folder.write(place.file('file', name), text)
      // A value that cannot stand in the command is said before anything is executed.
      this.#parts.words(values, false)
      return values
    } catch (error) {
      if (error instanceof HostError) throw error
      if (error instanceof UsageError) throw new HostError('precondition', error.message, { cause: error })
      const exhausted = errnoMeaning(codeOf(error)) === 'exhausted'
      const message = withRemedy(`cannot write the private files of ${spec.name}: ${messageOf(error)}`, error)
      throw new HostError(exhausted ? 'exhausted' : 'unavailable', message, { cause: error })
    }
  }

  /** The secrets that the file names: those of the call, or those that are kept. Throws HostError. */
  #secrets(place: PrivatePlace, volumeId: string, given: VolumeSource['secrets']): Readonly<Record<string, string>> {
    const { spec, folder } = this.#parts
    const found = spec.secrets.map((name): [string, string] => {
      const value = given?.[name] ?? folder.read(place.file('secret', name))
      if (value === undefined)
        throw new HostError(
          'precondition',
          `secret ${name} of volume ${volumeId} is not kept on this node any more, and this call does not bring it; end the pods of the volume, so that it is unstaged and staged again`,
        )
      return [name, value]
    })
    return Object.fromEntries(found)
  }

  #newRecord({ path, values, parameters }: Begun): ProgramRecord {
    const { spec, table, bootId, shielded } = this.#parts
    const before = table.layers(path).map(({ device }) => device)
    const source = { mountFlags: [...values.mountFlags], parameters }
    return {
      ...{ version: 1, bootId, path, volumeId: values.volumeId, program: spec.name, id: randomHex(16), before, processes: [] },
      ...(shielded ? { shielded: true, source } : {}),
    }
  }

  #execute(record: ProgramRecord, { file, args }: ProgramExecution, values: VolumeValues): Attempt {
    const { spec, records, folder, environment } = this.#parts
    const { path, id } = record
    records.save(record)
    this.#ending.delete(path)
    const place = folder.of(keyOf(path))
    folder.write(place.output, '')
    const fd = openOutput(place.output)
    const child = new ChildProgram({
      file,
      args,
      env: { ...environment, ...environmentOf(spec, values), [START_VARIABLE]: id },
      cwd: '/',
      detached: true,
      stdio: ['ignore', fd, fd],
    })
    closeSync(fd)
    child.unref()
    this.#outputs.get(path)?.close()
    const output = this.#outputOf(path, this.#label(child.pid), values.secrets, 'begin')
    this.#outputs.set(path, output)
    return { record, child, output }
  }

  /** Waits until the program has mounted, or has failed to. Rejects with the reason of the call's signal. */
  async #mounts({ record, child, output }: Attempt, scoped: boolean, call: CallContext): Promise<Outcome> {
    const { spec, limits } = this.#parts
    const began = performance.now()
    const ended: { failure?: unknown } = {}
    child.ended.catch((error: unknown) => {
      ended.failure = error
    })
    let executed = !scoped
    let searched = 0
    for (;;) {
      call.signal.throwIfAborted()
      const device = this.#newMountOf(record)
      const answer = device === undefined ? 'none' : await this.#answers(record.path, device, call)
      // Where the mount is gone, the directory below has answered.
      if (device !== undefined && answer === 'answers' && this.#newMountOf(record) === device) return { kind: 'mounted', device }
      const { end } = child
      const comm = processStat(child.pid)?.comm
      executed ||= comm !== undefined && comm !== 'systemd-run'
      if (!executed && end === undefined && performance.now() - began > limits.scopeWait)
        return { kind: 'no scope', why: `systemd-run has not answered within ${limits.scopeWait / 1000} s` }
      if (child.pid === 0 && ended.failure !== undefined) throw cannotStart(ended.failure, spec)
      if (end !== undefined && end.status !== 0) {
        const why = `${spec.name} ended with ${describeEnd(end)} before it had mounted: ${output.said() ?? 'it said nothing'}`
        if (!executed && end.status === 1) return { kind: 'no scope', why: output.said() ?? 'it said nothing' }
        return { kind: 'failed', why }
      }
      if (typeof answer === 'object') return { kind: 'failed', why: `${spec.name} has mounted, but ${answer.why}` }
      if (end !== undefined && performance.now() - searched > limits.programSearch) {
        searched = performance.now()
        // A mount that has come since the look is found by the next one.
        if (processesOf(record).length === 0 && this.#newMountOf(record) === undefined)
          return {
            kind: 'failed',
            why: `${spec.name} ended with exit status 0, but nothing is mounted and none of its processes runs: ${output.said() ?? 'it said nothing'}`,
          }
        if (answer === 'dead')
          return { kind: 'failed', why: `${spec.name} has mounted, and has ended: ${output.said() ?? 'it said nothing'}` }
      }
      await unlessAborted(sleep(limits.programLook), call.signal)
    }
  }

  /** The super block of a FUSE mount that has come to the path since the start. */
  #newMountOf({ path, before }: ProgramRecord): string | undefined {
    const state = this.#parts.table.at(path)
    if (state.kind !== 'mount' || !isFuse(state.mount.fsType) || before.includes(state.mount.device)) return undefined
    return state.mount.device
  }

  /** Asks a mount that has just come. `silent`: it has not answered yet. `why`: it does not serve root. Rejects with the reason of the call's signal. */
  async #answers(
    path: string,
    device: string,
    call: CallContext,
  ): Promise<'answers' | 'silent' | 'dead' | { readonly why: string }> {
    const answer = await this.#parts.prober.ask(path, device, call)
    switch (answer.kind) {
      case 'alive':
        return 'answers'
      case 'dead':
        return 'dead'
      case 'hung':
      case 'absent':
        return 'silent'
      case 'unknown':
        return answer.message.includes('permission denied')
          ? { why: `root may not use the mount (${answer.message}); give the program the option allow_other` }
          : 'silent'
    }
  }

  /** Records the session of a program that has mounted, and watches its end. */
  #serves({ record, child, output }: Attempt, device: string): Daemon | undefined {
    const { records, spec, log } = this.#parts
    const own = processStat(child.pid)
    // What keeps a shield stays; the shield may have a successor.
    const ofOwn = own === undefined ? [] : record.shielded === true ? [own] : holdersOf([own], device)
    const holders = ofOwn.length > 0 ? ofOwn : holdersOf(processesOf(record), device)
    // Where the kernel does not tell who has the device, every process of the program counts.
    const serving = holders.length > 0 ? holders : processesOf(record)
    records.save({ ...record, device, processes: serving.map(({ pid, start }) => ({ pid, start })) })
    this.#watch({ record, child, output })
    log.info(`${spec.name} of ${record.path} is served by process ${serving.map(({ pid }) => pid).join(', ')}`)
    return toDaemon(serving[0])
  }

  /** Whether another container has left a session: its shield has ended with it. */
  #isLeft(record: ProgramRecord): boolean {
    return (
      this.#parts.held &&
      record.shielded === true &&
      record.source !== undefined &&
      this.#isMounted(record) &&
      processesOf(record).length === 0
    )
  }

  /** Has a shield go on with the session that another container has left, in its turn. If it cannot, the session is mounted anew as any that is dead. */
  #resume(former: ProgramRecord): void {
    const { spec, queue, limits, log } = this.#parts
    const { path } = former
    this.#resuming.add(path)
    const call = new RunningCall(limits.resume, { margin: 0 })
    queue
      .run(path, call, async (waits) => await this.#goOn(former, call, waits))
      .catch((error: unknown) => {
        log.error(
          `${spec.name} of ${path} cannot go on: ${messageOf(error)}; the volume is mounted again when it is staged or published`,
        )
      })
      .finally(() => {
        this.#resuming.delete(path)
        call[Symbol.dispose]()
      })
      .catch(() => undefined)
  }

  /** Resolves when the session is served again, or its shield has ended. Rejects with HostError, UsageError and Node's errors. */
  async #goOn(former: ProgramRecord, call: CallContext, waits: () => void): Promise<void> {
    const { spec, records, prober, log } = this.#parts
    const { path, volumeId, source, device = '' } = former
    // It was unstaged meanwhile.
    if (records.at(path)?.id !== former.id || !this.#isMounted(former)) return
    const { mountFlags = [], parameters = {} } = source ?? {}
    const values = this.#prepare(path, mountFlags, { volumeId, parameters })
    const execution = this.#parts.execution(this.#parts.words(values, true), `${spec.name} ${path}`)
    const attempt = this.#execute({ ...former, id: randomHex(16), processes: [] }, execution.plain ?? execution, values)
    const own = processStat(attempt.child.pid)
    if (own === undefined) throw new Error('its shield cannot be started')
    records.save({ ...attempt.record, processes: [{ pid: own.pid, start: own.start }] })
    this.#resuming.delete(path)
    this.#watch(attempt)
    log.info(`${spec.name} of ${path} goes on: process ${own.pid} takes over what another container has left`)
    waits()
    await Promise.race([prober.ask(path, device, call), attempt.child.ended])
  }

  /** Says how a program that has served ends, unless that was asked for. */
  #watch({ record, child, output }: Attempt): void {
    const { records, log } = this.#parts
    child.ended.then(
      (end) => {
        output.read()
        const now = records.at(record.path)
        // One that goes to the background leaves its daemon.
        if (now?.id !== record.id || this.#ending.has(record.path) || runningOf(now).length > 0) return
        // It ends when it is unmounted.
        if (end.status === 0 && !this.#isMounted(now)) return
        log.error(
          `${this.#label(child.pid)} of ${record.path} ended: ${describeEnd(end)}; the volume is mounted again when it is staged or published, restart its consumers then`,
        )
      },
      () => undefined,
    )
  }

  /** Undoes what an earlier start has left at a path, which a new one is to mount at. Rejects with HostError `unavailable` where that takes longer. */
  async #undoFormer(path: string, call: CallContext): Promise<void> {
    const { records, spec } = this.#parts
    const former = records.at(path)
    if (former === undefined) return
    // It was unmounted, and may write what it has cached.
    if (former.device !== undefined && !this.#isMounted(former)) await this.#ends(former, call)
    const stuck = await this.#undo(former, call)
    this.#ending.delete(path)
    if (stuck !== '')
      throw new HostError('unavailable', `an earlier ${spec.name} of ${path} was killed, but is still in the kernel; call again`)
  }

  /** Ends all processes of a start and unmounts what they have mounted. Resolves to words about those that are still in the kernel: what they mount later is undone then. */
  async #undo(record: ProgramRecord, call: CallContext): Promise<string> {
    const devices = this.#devicesOf(record)
    // The rest of the time is for the answer that says so.
    const left = await killAll(record, call.remaining() * KILL_SHARE)
    this.#detach(record, devices)
    if (left.length === 0) {
      this.#forgetStart(record.path)
      return ''
    }
    this.#undoLater(record)
    return ' (it is still in the kernel; what it mounts is unmounted)'
  }

  /** Waits for the end of processes that are in the kernel, and unmounts what they have mounted. */
  #undoLater(record: ProgramRecord): void {
    const { path } = record
    if (this.#lost.has(path)) return
    this.#lost.add(path)
    const until = async (): Promise<void> => {
      for (;;) {
        // Another start of the path has taken care of it.
        if (this.#parts.records.at(path)?.id !== record.id) return
        const devices = this.#devicesOf(record)
        const left = await killAll(record, this.#parts.limits.programSearch)
        // What another start has mounted meanwhile stays.
        if (this.#parts.records.at(path)?.id !== record.id) return
        this.#detach(record, devices)
        if (left.length === 0) {
          this.#forgetStart(path)
          return
        }
        await sleep(this.#parts.limits.programSearch * 5, undefined, { ref: false })
      }
    }
    until()
      .catch((error: unknown) => {
        this.#parts.log.error(`cannot undo a start of ${this.#parts.spec.name} at ${path}: ${messageOf(error)}`)
      })
      .finally(() => this.#lost.delete(path))
  }

  /** The super blocks of all FUSE mounts of a start. */
  #devicesOf(record: ProgramRecord): readonly string[] {
    const held = processesOf(record).flatMap(({ pid }) => devicesOf(pid))
    const at = this.#newMountOf(record)
    const all = new Set([...held, ...(at === undefined ? [] : [at]), ...(record.device === undefined ? [] : [record.device])])
    for (const device of record.before) all.delete(device)
    return [...all]
  }

  /**
   * Unmounts what a start has mounted: each mount of its own super blocks, wherever it is. Of a session that has served, the mount at its path alone, because its
   * binds at targets are the publisher's. Never throws.
   */
  #detach({ path, device, before }: ProgramRecord, devices: readonly string[]): void {
    const { libc, log, spec } = this.#parts
    try {
      detachLayers(libc, path, (one) => (device === undefined ? !before.includes(one) : one === device))
      if (device === undefined) detachEverywhere(libc, devices)
    } catch (error) {
      log.error(`cannot unmount what ${spec.name} has mounted for ${path}: ${messageOf(error)}`)
    }
  }

  /**
   * Waits for the end of a program that was unmounted, as long as its file gives it. Rejects with HostError `unavailable` if the call ends before. Behind a shield
   * it has stored what it has answered, so that it gets a part of the call's time alone.
   */
  async #ends(record: ProgramRecord, call: CallContext): Promise<void> {
    const { spec, limits } = this.#parts
    const { path } = record
    const began = this.#ending.get(path) ?? performance.now()
    this.#ending.set(path, began)
    const isShielded = record.shielded === true
    const end = isShielded
      ? performance.now() + Math.min(spec.stop.within, call.remaining() * SHIELD_SHARE)
      : began + spec.stop.within
    let left = processesOf(record)
    while (left.length > 0 && performance.now() < end) {
      // A stopped process cannot end by itself.
      if (left.every(isStopped)) return
      // The shield ends when its daemon has.
      if (isShielded) for (const { pid } of left.filter(isStopped)) sendSignal(pid, 'SIGKILL')
      if (call.remaining() <= limits.programSearch * 2) {
        const time = ((performance.now() - began) / 1000).toFixed(1)
        throw new HostError(
          'unavailable',
          `the ${spec.name} of ${path} is still ending after ${time} s, and its file gives it ${spec.stop.within / 1000} s; call again`,
        )
      }
      await sleep(limits.programLook)
      left = left.flatMap(({ pid, start }) => {
        const now = processStat(pid)
        return now?.start === start ? [now] : []
      })
      if (left.length === 0) left = processesOf(record)
    }
  }

  async #runStopCommand(record: ProgramRecord, time: number): Promise<void> {
    const { spec, log, environment } = this.#parts
    const [file = '', ...args] = stopCommandOf(spec, { target: record.path, volumeId: record.volumeId })
    log.info(`exec ${file} [${args.join(' ')}]`)
    const child = new ChildProgram({ file, args, env: environment, cwd: '/', detached: true, stdio: 'ignore' })
    child.unref()
    if (await child.endsWithin(time).catch(() => true)) {
      if (child.end?.status !== 0)
        log.warning(`the command that ends ${spec.name} of ${record.path} ended: ${describeEnd(child.end)}`)
      return
    }
    child.kill()
    log.warning(
      `the command that ends ${spec.name} of ${record.path} has not ended within ${(time / 1000).toFixed(1)} s and was killed`,
    )
  }

  /** Nothing of a start is left. Throws Node's error. */
  #forgetStart(path: string): void {
    this.#parts.shields.forget(path)
    this.#parts.records.remove(path)
  }

  #isMounted({ path, device }: ProgramRecord): boolean {
    const state = this.#parts.table.at(path)
    return state.kind === 'mount' && state.mount.device === device
  }

  #label(pid: number | undefined): string {
    return pid === undefined ? this.#parts.spec.name : `${this.#parts.spec.name}[${pid}]`
  }

  #outputOf(path: string, label: string, secrets: Readonly<Record<string, string>>, from: 'begin' | 'end'): ProgramOutput {
    const { folder, log, spec } = this.#parts
    const place = folder.of(keyOf(path))
    const kept = spec.secrets.map((name) => secrets[name] ?? folder.read(place.file('secret', name)) ?? '')
    return new ProgramOutput(place.output, label, new SecretTexts(kept), log, from)
  }
}
