import { isDeepStrictEqual } from 'node:util'
import { messageOf, ProgramError, withRemedy } from '../errors.ts'
import { KernelDevice, openFuseDevice } from '../fuse/session/device.ts'
import { ServingLoop, type SessionDescriptor, type Timeout } from '../fuse/session/loop.ts'
import { MainThreadTurns, type TurnTaker } from '../fuse/session/main-thread-turns.ts'
import { AdaptivePolling } from '../fuse/session/polling.ts'
import type { Logger } from '../log.ts'
import { Epoll } from '../os/descriptors/epoll.ts'
import { type Libc, MS } from '../os/libc.ts'
import { DetachedMount } from '../os/mounts/detached-mount.ts'
import { abortConnection } from '../os/mounts/fuse-connections.ts'
import type { MountTable } from '../os/mounts/mount-table.ts'
import { OwnMount } from '../os/mounts/own-mount.ts'
import { readFurtherAhead } from '../os/mounts/read-ahead.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import { killAfter } from '../os/processes/kill-after.ts'
import type { Launcher } from '../os/processes/launcher.ts'
import { pidNamespace, processStat } from '../os/processes/processes.ts'
import { RestartDelay } from '../os/processes/restart-delay.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { Candidate, mountDisagreement } from './candidate.ts'
import type { ShieldStatus, UpgradeReport } from './control-protocol.ts'
import type { DaemonChannel } from './daemon-channel.ts'
import { type DaemonCommand, type DaemonParts, DaemonProcess } from './daemon-process.ts'
import { removeTarget } from './daemon-target.ts'
import type { HoldReport } from './hold.ts'
import { MemoryReturn } from './memory-return.ts'
import { Notifier } from './notifier.ts'
import { Refused } from './refused.ts'
import { Relay, type RelayHooks } from './relay.ts'
import type { ShieldState } from './state.ts'
import { endLeft, type Left, type Succession } from './succession.ts'
import type { SessionFacts } from './session-facts.ts'
import type { MountCall } from './trapped-calls.ts'
import { upgrade, type UpgradeOrder, type UpgradeSite } from './upgrade.ts'

/**
 * Milliseconds for which the next request or answer is polled for: as long as a daemon takes that has its answer in memory. Reader, relay and daemon wake each other in
 * turn, and to wake one that sleeps takes longer. Polled for longer, the relay takes the processor from those that it waits for.
 */
const POLL_TIME = 0.015

/**
 * How much further the kernel reads ahead than it would of the daemon alone, 128 KiB for most: contents are copied twice more on their way, so that several reads must be
 * under way to keep reader, shield and daemon at work.
 */
const READ_AHEAD = 4

/** What a shield is for. */
export interface ShieldOrder {
  /** The mount point as it was given, made absolute. */
  readonly given: string
  /** The same without symbolic links. Nothing is mounted there, or what {@link ShieldParts.left} is of. */
  readonly mountpoint: string
  /** The words of the command that the shield was called with. */
  readonly called: readonly string[]
  /** The command of the daemon that is started first: that one, or what the last upgrade of an earlier process gave. */
  readonly command: DaemonCommand
  /** An inode number means the same file to each daemon. */
  readonly stableInodes: boolean
  /** Nothing is written, whatever the daemon asks for. */
  readonly readOnly: boolean
  /** Whom daemons run as, as it was given; null: as this process. */
  readonly user: string | null
}

/** Milliseconds. */
interface ShieldTimes {
  /** A daemon that has not answered INIT by then is killed. */
  readonly start: number
  /** Without a daemon that serves for so long, the connection is given up. */
  readonly giveUp: number
  /** A daemon that has not ended this long after SIGTERM loses its device. */
  readonly leave: number
  /** A daemon that is asked to end, or has stopped reading, is killed after this. */
  readonly end: number
  /** After so long, a daemon that was killed is not waited for any more. */
  readonly killed: number
}

/** The dependencies of {@link Shield}. */
export interface ShieldParts {
  readonly libc: Libc
  readonly launcher: Launcher
  readonly table: MountTable
  readonly log: Logger
  /** Takes each line that a daemon writes to its standard output and error, with the name that it was called by; undefined: both are ours. */
  readonly output: ((line: string, daemon: string) => void) | undefined
  readonly times: ShieldTimes
  readonly succession: Succession
  /** What is taken over of an earlier process. */
  readonly left: Left | undefined
  /** Called once: a daemon serves, and the mount is about to be there. */
  readonly standing: () => void
  /** Collects what is garbage, and returns the room to the system. */
  readonly collectGarbage: () => void
}

/** What a shield knows of itself. */
export type ShieldSummary = Pick<
  ShieldStatus,
  | 'state'
  | 'mount'
  | 'command'
  | 'daemon'
  | 'away'
  | 'incarnation'
  | 'restarts'
  | 'upgrades'
  | 'deaths'
  | 'requests'
  | 'nodes'
  | 'openFiles'
>

/** How a shield came to its end. */
export type ShieldEnd = 'stopped' | 'unmounted' | 'aborted' | 'given up'

/**
 * Mounts a file system that a foreign daemon serves, by a connection of our own. A daemon that ends is started again, and the mount, its open files and its
 * readers go on with the next one.
 */
export class Shield implements TurnTaker {
  /** Whether the event loop is to have its turns. */
  busy = true
  readonly awaited = 0
  readonly #parts: ShieldParts
  readonly #order: ShieldOrder
  readonly #turns: MainThreadTurns
  readonly #loop: ServingLoop
  readonly #restartDelay = new RestartDelay()
  readonly #outcome = Promise.withResolvers<ShieldEnd>()
  readonly #notifier: Notifier
  readonly #state: ShieldState
  readonly #memory: MemoryReturn
  readonly #remains: string[] = []
  #command: DaemonCommand
  #stopping = false
  #relay: Relay | undefined
  #device: SessionDescriptor | undefined
  #mounting: DetachedMount | undefined
  #mount: OwnMount | undefined
  #daemon: DaemonProcess | undefined
  #channel: SessionDescriptor | undefined
  /** When the daemon began to serve (performance.now()); undefined while it does not. */
  #servingSince: number | undefined
  /** The kernel's connection is over. */
  #isOver = false
  /** It is killed because it cannot serve. */
  #fails = false
  /** Its end is part of an upgrade. */
  #detained = false
  #upgrading = false
  #candidate: Candidate | undefined
  /** What the first daemon has mounted. */
  #mounted: SessionFacts['mounted']
  /** The kernel is to forget its caches once a daemon serves: before, nobody answers what its thread would wait for, and SIGKILL would not end that. */
  #forgetsCaches = false
  #awaySince: number | undefined
  #why = ''
  #restartTimer: NodeJS.Timeout | undefined
  #startTimer: NodeJS.Timeout | undefined
  #giveUpTimer: NodeJS.Timeout | undefined
  #hangUpTimer: NodeJS.Timeout | undefined

  constructor(parts: ShieldParts, order: ShieldOrder) {
    const { libc } = parts
    this.#parts = parts
    this.#order = order
    this.#command = order.command
    this.#turns = new MainThreadTurns(libc)
    this.#loop = new ServingLoop(new Epoll(libc), new AdaptivePolling(POLL_TIME), libc.yielder())
    this.#loop.listen(this.#turns.neighbour.fd, this.#turns.neighbour.readable)
    this.#notifier = new Notifier(libc, () => this.#device?.fd)
    this.#state = parts.left?.state ?? parts.succession.newState()
    this.#memory = new MemoryReturn(this.#state, parts.collectGarbage)
  }

  /**
   * Runs until `stop` resolves, the mount is gone or no daemon serves it any more. By then the daemon has ended. Rejects with ProgramError if the first daemon does
   * not mount; then nothing is mounted.
   */
  async run(stop: Promise<unknown>): Promise<ShieldEnd> {
    this.#turns.begin(this)
    this.#memory.begin()
    const { left } = this.#parts
    try {
      if (left !== undefined) await this.#takeOver(left)
      if (!this.#isOver) this.#start()
      const end = await Promise.race([this.#outcome.promise, stop.then(() => 'stopped' as const)])
      // Otherwise readers would find the empty directory below it.
      if (end === 'stopped') this.#mount?.detach()
      return end
    } finally {
      this.#memory.end()
      this.#tell()
      await this.#end()
      await this.#parts.succession.forget()
      this.busy = false
    }
  }

  /** What is left after its end and why, one sentence each. */
  get remains(): readonly string[] {
    return this.#remains
  }

  get summary(): ShieldSummary {
    const counts = this.#relay?.counts ?? { ...this.#state.totals, inFlight: 0, nodes: 0, openFiles: 0 }
    const { inFlight, resent, takenAsDone, stale, suspectsFailed, undecided } = counts
    const since = this.#servingSince
    const awayFor = this.#awaySince === undefined ? undefined : performance.now() - this.#awaySince
    return {
      state: this.#stateWord(),
      mount: this.#mount === undefined ? 'absent' : this.#mount.there ? 'there' : this.#mount.covered ? 'covered' : 'absent',
      command: [...this.#command.words],
      daemon:
        this.#daemon === undefined || since === undefined
          ? null
          : { pid: this.#daemon.pid, since: new Date(Date.now() - (performance.now() - since)).toISOString() },
      away: awayFor === undefined ? null : { seconds: Math.round(awayFor / 100) / 10, why: this.#why },
      incarnation: counts.daemons,
      restarts: counts.restarts,
      upgrades: counts.upgrades,
      deaths: counts.deaths,
      requests: { inFlight, resent, takenAsDone, stale, suspectsFailed, undecided },
      nodes: counts.nodes,
      openFiles: counts.openFiles,
    }
  }

  /** Replaces the daemon. Rejects with Refused. */
  async upgrade(order: UpgradeOrder): Promise<UpgradeReport> {
    const relay = this.#relay
    if (this.#stopping) throw new Refused('the shield ends')
    if (relay === undefined || this.#mount === undefined) throw new Refused('its first daemon does not serve yet')
    if (this.#upgrading) throw new Refused('another upgrade is under way')
    this.#upgrading = true
    try {
      return await upgrade(this.#site(relay), order)
    } finally {
      this.#upgrading = false
    }
  }

  turn(timeout: Timeout): void {
    this.#loop.turn(timeout)
  }

  /** Takes over the connection of a process that was killed, and ends what is left of its daemons. */
  async #takeOver({ device: fd, state }: Left): Promise<void> {
    const { libc, table, succession, times, log } = this.#parts
    const { mountpoint, stableInodes } = this.#order
    state.add('deaths')
    this.#awaySince = performance.now()
    this.#why = 'the shield was killed'
    const { daemon, spare, device, mounted } = state.facts
    for (const left of [daemon, spare?.daemon])
      if (left !== undefined && !(await endLeft(left, times.killed)))
        log.warning(`process ${left.pid}, a daemon of the shield that was killed, is still in the kernel after SIGKILL`)
    if (spare !== undefined) removeTarget(spare.target)
    state.note({ spare: undefined })
    const relay = new Relay(new KernelDevice(libc, fd), stableInodes, this.#hooks(), state)
    this.#mount = new OwnMount(mountpoint, table, libc, device)
    this.#mounted = mounted
    this.#relay = relay
    this.#serve(relay, fd)
    try {
      relay.resume()
    } catch (error) {
      const message = `${mountpoint}: what an earlier shield has left cannot be used: ${messageOf(error)}; its mount is dead, unmount it`
      throw new ProgramError(message, STATUS.failed, { cause: error })
    }
    this.#noteOrder()
    this.#forgetsCaches = state.facts.cachesDiffer === true
    this.#giveUpTimer = setTimeout(() => this.#outcome.resolve('given up'), times.giveUp)
    succession.ready()
    log.info(`took ${mountpoint} over from a shield that was killed`)
  }

  /** Notes what a successor is to go on with. */
  #noteOrder(): void {
    const { given, mountpoint, called, stableInodes, readOnly, user } = this.#order
    const { file, words, target } = this.#command
    const { command } = this.#state.facts
    const isAnother = command !== undefined && !isDeepStrictEqual(command.words, words)
    this.#state.note({
      given,
      mountpoint,
      called: [...called],
      stableInodes,
      readOnly,
      user,
      command: { file, words: [...words] },
      target,
      ...(isAnother && { cachesDiffer: true }),
    })
  }

  #stateWord(): ShieldSummary['state'] {
    if (this.#stopping) return 'ending'
    if (this.#mount === undefined) return 'starting'
    return this.#servingSince === undefined ? 'away' : 'serving'
  }

  #site(relay: Relay): UpgradeSite {
    const { times } = this.#parts
    const isServing = (): boolean => this.#servingSince !== undefined
    const isStopping = (): boolean => this.#stopping
    return {
      relay,
      get serving() {
        return isServing()
      },
      get stopping() {
        return isStopping()
      },
      due: () => this.#turns.due(),
      start: (command) => {
        const { init } = relay
        const mounted = this.#mounted
        if (init === undefined || mounted === undefined || this.#stopping) throw new Refused('the shield ends')
        const terms = { init, mounted, disagreement: (answer: Buffer) => relay.disagreement(answer) }
        const { target } = command
        this.#state.note({ spare: { target } })
        this.#candidate = new Candidate(this.#daemonParts(), command, terms, () => this.#turns.due())
        this.#state.note({ spare: { target, daemon: identityOf(this.#candidate.process) } })
        return this.#candidate
      },
      detain: () => {
        this.#detained = true
        clearTimeout(this.#restartTimer)
      },
      endsWithin: async (time) => (await this.#daemon?.endsWithin(time)) ?? true,
      retire: async () => {
        const daemon = this.#daemon
        if (daemon === undefined) return true
        if (!isServing()) daemon.kill()
        return await this.#ended(daemon)
      },
      adopt: (candidate, order) => this.#adopt(relay, candidate, order),
      goOn: () => {
        this.#detained = false
        relay.release()
        if (this.#daemon === undefined && !this.#stopping) this.#start()
      },
      discard: async (candidate) => {
        this.#candidate = undefined
        await candidate.discard(times.killed)
      },
    }
  }

  #adopt(relay: Relay, candidate: Candidate, { command, differs }: UpgradeOrder): HoldReport {
    const channel = candidate.takeOver((why, killed) => this.#daemonEnded(why, killed))
    const { target } = this.#command
    this.#candidate = undefined
    this.#command = command
    this.#daemon = candidate.process
    this.#detained = false
    this.#fails = false
    const { file, words } = command
    // From here on a successor goes on with this command: it is about to be given requests.
    this.#state.note({
      command: { file, words: [...words] },
      target: command.target,
      daemon: identityOf(candidate.process),
      spare: { target },
      ...(differs && { cachesDiffer: true }),
    })
    this.#state.add('upgrades')
    this.#listenTo(relay, channel)
    const report = relay.release()
    relay.takeOver(channel)
    return report
  }

  #daemonParts(): DaemonParts {
    const { libc, launcher, output } = this.#parts
    return { libc, loop: this.#loop, launcher, output, mountpoint: this.#mount?.path }
  }

  #start(): void {
    const { times } = this.#parts
    const command = this.#command
    this.#fails = false
    this.#startTimer = setTimeout(() => {
      this.#parts.log.warning(`${command.file} has not answered INIT within ${times.start / 1000} s; it is killed`)
      this.#why = `it has not answered INIT within ${times.start / 1000} s`
      this.#fails = true
      this.#daemon?.kill()
    }, times.start)
    try {
      this.#daemon = new DaemonProcess(this.#daemonParts(), command, {
        mounting: (call, channel) => this.#mountFor(call, channel),
        ended: (why, killed) => this.#daemonEnded(why, killed),
      })
      this.#state.note({ daemon: identityOf(this.#daemon) })
    } catch (error) {
      this.#daemonEnded(withRemedy(`cannot be started: ${messageOf(error)}`, error), false)
    }
  }

  /** The daemon mounts. What the first one asks for decides about our mount. */
  #mountFor(call: MountCall, channel: DaemonChannel): 'EPERM' | undefined {
    this.#turns.due()
    const { file, target } = this.#command
    if (this.#relay === undefined && call.target !== target) {
      const message = `${file} mounts at ${call.target}, where {target} in its command stands for ${target}; write {target} where it takes its mount point`
      this.#outcome.reject(new ProgramError(message, STATUS.failed))
      return 'EPERM'
    }
    const disagreement = this.#mounted === undefined ? undefined : mountDisagreement(call, this.#mounted)
    if (disagreement !== undefined) {
      const advice = 'to have other options, stop the shield or its unit and start it anew'
      this.#parts.log.error(`${file} ${disagreement}; it is killed; ${advice}`)
      this.#refuse(disagreement)
      return 'EPERM'
    }
    try {
      this.#relay ??= this.#open(call)
    } catch (error) {
      this.#outcome.reject(error)
      return 'EPERM'
    }
    const relay = this.#relay
    this.#listenTo(relay, channel)
    relay.connect(channel)
    return undefined
  }

  /** `fd`: the kernel's device. */
  #serve(relay: Relay, fd: number): void {
    this.#device = endOf(relay, fd, (most) => relay.serveDevice(most))
    this.#loop.add(this.#device)
  }

  #listenTo(relay: Relay, { fd }: DaemonChannel): void {
    this.#channel = endOf(relay, fd, (most) => relay.serveChannel(most))
    this.#loop.add(this.#channel)
  }

  /** Throws ProgramError. */
  #open(call: MountCall): Relay {
    const { libc } = this.#parts
    const { mountpoint, stableInodes, readOnly } = this.#order
    if (call.type.startsWith('fuseblk'))
      throw new ProgramError(
        `${this.#command.file} mounts a block device (${call.type}); only daemons of the type fuse can be shielded`,
        STATUS.mountFailed,
      )
    // The kernel would refuse root too, and so this process (fuse_allow_current_process).
    const options = call.data.split(',')
    if (options.some((option) => /^user_id=0*[1-9]/.test(option)) && !options.includes('allow_other'))
      throw new ProgramError(
        `${this.#command.file} mounts for its own user alone, and the shield runs as root; give it the option that lets others in, such as -o allow_other`,
        STATUS.mountFailed,
      )
    try {
      const fd = openFuseDevice()
      const { source, type, flags, data } = call
      const mounting = DetachedMount.create(libc, {
        source,
        type,
        flags: readOnly ? flags | MS.RDONLY : flags,
        data: `fd=${fd},${data}`,
      })
      if (mounting === undefined) throw new Error('fsopen(2) is missing or forbidden')
      this.#mounting = mounting
      const relay = new Relay(new KernelDevice(libc, fd), stableInodes, this.#hooks(), this.#state)
      this.#mounted = { flags, data }
      this.#noteOrder()
      this.#state.note({ mounted: this.#mounted, device: mounting.device })
      this.#serve(relay, fd)
      return relay
    } catch (error) {
      throw new ProgramError(withRemedy(`${mountpoint}: cannot mount: ${messageOf(error)}`, error), STATUS.mountFailed, {
        cause: error,
      })
    }
  }

  #hooks(): RelayHooks {
    const { log, times } = this.#parts
    const { mountpoint } = this.#order
    return {
      ready: () => this.#ready(),
      refused: (why) => {
        log.error(`${this.#command.file} ${why}; it is killed`)
        this.#refuse(why)
      },
      hungUp: () => {
        this.#closeChannel()
        this.#hangUpTimer = setTimeout(() => this.#daemon?.kill(), times.end)
      },
      over: () => {
        this.#isOver = true
        this.#turns.due()
        if (this.#device !== undefined) this.#loop.remove(this.#device)
        if (this.#mount === undefined) {
          const message = `${mountpoint}: cannot mount: its connection was cut before INIT was answered`
          this.#outcome.reject(new ProgramError(message, STATUS.mountFailed))
        } else this.#outcome.resolve(this.#mount.there ? 'aborted' : 'unmounted')
      },
      warning: (text) => {
        log.warning(text)
      },
      notify: (messages, written) => this.#notifier.notify(messages, written),
    }
  }

  /** Kills the daemon, which cannot serve. */
  #refuse(why: string): void {
    this.#why = `it ${why}`
    this.#fails = true
    this.#daemon?.kill()
  }

  /** The daemon serves. The first time the mount comes to its place. */
  #ready(): void {
    const { log } = this.#parts
    const { mountpoint } = this.#order
    const command = this.#command
    clearTimeout(this.#startTimer)
    clearTimeout(this.#giveUpTimer)
    this.#turns.due()
    this.#servingSince = performance.now()
    this.#awaySince = undefined
    const mounting = this.#mounting
    if (mounting === undefined) {
      log.info(`${command.file} serves ${mountpoint} again`)
      if (this.#forgetsCaches) this.#relay?.forgetCaches(() => undefined)
      this.#forgetsCaches = false
      return
    }
    this.#attach(mounting).catch(this.#outcome.reject)
  }

  /** Brings the mount to its place once a successor can have it. */
  async #attach(mounting: DetachedMount): Promise<void> {
    const { libc, table, log, succession, standing } = this.#parts
    const { mountpoint } = this.#order
    if (this.#relay?.resends !== true || this.#device === undefined)
      log.warning('this kernel is older than Linux 6.9: if this process is killed, the mount is dead')
    else await succession.keep(this.#device.fd, this.#state)
    if (this.#stopping) return
    try {
      mounting.attach(mountpoint)
      this.#mounting = undefined
      this.#mount = new OwnMount(mountpoint, table, libc, mounting.device)
      readFurtherAhead(mounting.device, READ_AHEAD)
      this.#state.note({ attached: true })
      standing()
      succession.ready()
      log.info(`${this.#command.file} serves ${mountpoint}`)
    } catch (error) {
      const message = withRemedy(`${mountpoint}: cannot mount: ${messageOf(error)}`, error)
      this.#outcome.reject(new ProgramError(message, STATUS.mountFailed, { cause: error }))
    }
  }

  #daemonEnded(why: string, killed: boolean): void {
    const { log, times } = this.#parts
    const { file } = this.#command
    clearTimeout(this.#startTimer)
    clearTimeout(this.#hangUpTimer)
    this.#closeChannel()
    this.#relay?.disconnect()
    // What it has started must not go on beside the next one.
    this.#daemon?.kill()
    this.#daemon?.close()
    const said = this.#daemon?.said(times.killed)
    this.#daemon = undefined
    if (this.#stopping) return
    if (this.#mount === undefined) {
      const error = new ProgramError(`${file} ${why} before it had mounted; it has to stay in the foreground`, STATUS.failed)
      const refuse = (): void => this.#outcome.reject(error)
      // What it has said is why.
      if (said === undefined) refuse()
      else said.then(refuse, refuse)
      return
    }
    const life = this.#servingSince === undefined ? undefined : performance.now() - this.#servingSince
    this.#servingSince = undefined
    this.#awaySince ??= performance.now()
    if (!this.#fails) this.#why = `it ${why}`
    if (life !== undefined) this.#giveUpTimer = setTimeout(() => this.#outcome.resolve('given up'), times.giveUp)
    if (this.#detained) return
    this.#state.add('restarts')
    log.warning(`${file} ${why}; it is started again`)
    this.#restartTimer = setTimeout(
      () => {
        if (!this.#stopping) this.#start()
      },
      this.#restartDelay.after(life, this.#fails || !killed),
    )
  }

  #closeChannel(): void {
    if (this.#channel !== undefined) this.#loop.remove(this.#channel)
    this.#channel = undefined
  }

  #tell(): void {
    if (this.#relay === undefined) return
    const { daemons, resent, lost } = this.#relay.counts
    this.#parts.log.info(`daemons that served: ${daemons}; requests given to another: ${resent}; files not found again: ${lost}`)
  }

  async #hiddenRemoved(relay: Relay): Promise<void> {
    await new Promise<void>((resolve) => {
      relay.leave(() => {
        this.#turns.due()
        resolve()
      })
    })
  }

  /** Ends the daemon. */
  async #end(): Promise<void> {
    this.#stopping = true
    for (const timer of [this.#startTimer, this.#giveUpTimer, this.#hangUpTimer, this.#restartTimer]) clearTimeout(timer)
    this.#mounting?.close()
    const daemon = this.#daemon
    const { end, killed } = this.#parts.times
    await this.#candidate?.discard(killed)
    if (
      this.#relay?.hidesFiles === true &&
      (daemon === undefined || (await settledWithin(this.#hiddenRemoved(this.#relay), end)) === 'late')
    )
      this.#leave('the daemon has not removed what was removed while it was open; look for .dummy-shield-*')
    if (daemon !== undefined && !(await this.#ended(daemon)))
      this.#leave(`${this.#command.file} is still in the kernel after SIGKILL`)
    await this.#endNotifications()
  }

  /**
   * Ends the connection, if a notification waits in the kernel for what the daemon has not answered. The thread that wrote it would go on as a part of this process, which could not
   * end, and hold the connection.
   */
  async #endNotifications(): Promise<void> {
    const { libc, times } = this.#parts
    const connection = this.#state.facts.device?.split(':')[1]
    try {
      if (this.#notifier.busy && connection !== undefined) abortConnection(libc, Number(connection))
    } catch (error) {
      this.#parts.log.warning(`connection ${connection} cannot be aborted: ${messageOf(error)}`)
    }
    if (!(await this.#notifier.end(times.killed)))
      this.#leave(
        `a notification of the daemon is still in the kernel; end the connection: echo 1 >/sys/fs/fuse/connections/${connection}/abort`,
      )
  }

  /** Something is left after the end. */
  #leave(what: string): void {
    this.#remains.push(what)
    this.#parts.log.warning(what)
  }

  /** Ends a daemon. Resolves to whether it has ended. */
  async #ended(daemon: DaemonProcess): Promise<boolean> {
    const { leave, end, killed } = this.#parts.times
    daemon.terminate()
    if (!(await daemon.endsWithin(leave))) {
      if (daemon === this.#daemon) this.#closeChannel()
      daemon.hangUp()
    }
    return await killAfter(daemon, end, end + killed)
  }
}

/** By what a successor knows a daemon again; undefined if its process was not started. */
function identityOf({ pid }: DaemonProcess): SessionFacts['daemon'] {
  return pid === 0 ? undefined : { pid, start: processStat(pid)?.start ?? '0', pidNamespace: pidNamespace() }
}

/** One of the two ends of a relay, for the loop that serves them. */
function endOf(relay: Relay, fd: number, serve: SessionDescriptor['serve']): SessionDescriptor {
  return {
    fd,
    get polled() {
      return relay.polled
    },
    serve,
  }
}
