import { messageOf, ProgramError, withRemedy } from '../errors.ts'
import { KernelDevice, openFuseDevice } from '../fuse/session/device.ts'
import { ServingLoop, type SessionDescriptor, type Timeout } from '../fuse/session/loop.ts'
import { MainThreadTurns, type TurnTaker } from '../fuse/session/main-thread-turns.ts'
import { AdaptivePolling } from '../fuse/session/polling.ts'
import type { Logger } from '../log.ts'
import { Epoll } from '../os/descriptors/epoll.ts'
import { type Libc, MS } from '../os/libc.ts'
import { DetachedMount } from '../os/mounts/detached-mount.ts'
import type { MountTable } from '../os/mounts/mount-table.ts'
import { OwnMount } from '../os/mounts/own-mount.ts'
import { STATUS } from '../os/processes/exit-status.ts'
import { killAfter } from '../os/processes/kill-after.ts'
import type { Launcher } from '../os/processes/launcher.ts'
import { processStat } from '../os/processes/processes.ts'
import { RestartDelay } from '../os/processes/restart-delay.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import type { DaemonChannel } from './daemon-channel.ts'
import { type DaemonCommand, DaemonProcess } from './daemon-process.ts'
import { Relay, type RelayHooks } from './relay.ts'
import type { ShieldState } from './state.ts'
import { endLeft, type Left, type Succession } from './succession.ts'
import type { MountCall } from './trapped-calls.ts'

/**
 * Milliseconds for which the next request or answer is polled for: never. Reader, relay and daemon wake each other in turn, on one processor. A relay that polls takes
 * it from them.
 */
const POLL_TIME = 0

/** What a shield is for. */
export interface ShieldOrder {
  /** The mount point as it was given, made absolute. */
  readonly given: string
  /** The same without symbolic links. Nothing is mounted there, or what {@link ShieldParts.left} is of. */
  readonly mountpoint: string
  readonly command: DaemonCommand
  /** An inode number means the same file to each daemon. */
  readonly stableInodes: boolean
  /** Nothing is written, whatever the daemon asks for. */
  readonly readOnly: boolean
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
  readonly times: ShieldTimes
  readonly succession: Succession
  /** What is taken over of an earlier process. */
  readonly left: Left | undefined
}

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
  readonly #notify: (message: Buffer) => void
  readonly #state: ShieldState
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
  #startTimer: NodeJS.Timeout | undefined
  #giveUpTimer: NodeJS.Timeout | undefined
  #hangUpTimer: NodeJS.Timeout | undefined

  constructor(parts: ShieldParts, order: ShieldOrder) {
    const { libc } = parts
    this.#parts = parts
    this.#order = order
    this.#turns = new MainThreadTurns(libc)
    this.#loop = new ServingLoop(new Epoll(libc), new AdaptivePolling(POLL_TIME), libc.yielder())
    this.#loop.listen(this.#turns.neighbour.fd, this.#turns.neighbour.readable)
    this.#notify = notifier(libc, () => this.#device?.fd)
    this.#state = parts.left?.state ?? parts.succession.newState()
  }

  /**
   * Runs until `stop` resolves, the mount is gone or no daemon serves it any more. By then the daemon has ended. Rejects with ProgramError if the first daemon does
   * not mount; then nothing is mounted.
   */
  async run(stop: Promise<NodeJS.Signals>): Promise<ShieldEnd> {
    this.#turns.begin(this)
    const { left } = this.#parts
    try {
      if (left !== undefined) await this.#takeOver(left)
      if (!this.#isOver) this.#start()
      const end = await Promise.race([this.#outcome.promise, stop.then(() => 'stopped' as const)])
      // Otherwise readers would find the empty directory below it.
      if (end === 'stopped') this.#mount?.detach()
      return end
    } finally {
      this.#tell()
      await this.#end()
      await this.#parts.succession.forget()
      this.busy = false
    }
  }

  turn(timeout: Timeout): void {
    this.#loop.turn(timeout)
  }

  /** Takes over the connection of a process that was killed, and ends what is left of its daemon. */
  async #takeOver({ device: fd, state }: Left): Promise<void> {
    const { libc, table, succession, times, log } = this.#parts
    const { mountpoint, command, stableInodes } = this.#order
    const { daemon, device } = state.facts
    if (daemon !== undefined && !(await endLeft(daemon, times.killed)))
      log.warning(`process ${daemon.pid} of ${command.file} is still in the kernel after SIGKILL`)
    const relay = new Relay(new KernelDevice(libc, fd), stableInodes, this.#hooks(), state)
    this.#mount = new OwnMount(mountpoint, table, libc, device)
    this.#relay = relay
    this.#device = { fd, serve: (most) => relay.serveDevice(most) }
    this.#loop.add(this.#device)
    try {
      relay.takeOver()
    } catch (error) {
      const message = `${mountpoint}: what an earlier shield has left cannot be used: ${messageOf(error)}; its mount is dead, unmount it`
      throw new ProgramError(message, STATUS.failed, { cause: error })
    }
    this.#giveUpTimer = setTimeout(() => this.#outcome.resolve('given up'), times.giveUp)
    succession.ready()
    log.info(`took ${mountpoint} over from a shield that was killed`)
  }

  #start(): void {
    const { libc, launcher, times } = this.#parts
    const { command } = this.#order
    this.#fails = false
    this.#startTimer = setTimeout(() => {
      this.#parts.log.warning(`${command.file} has not answered INIT within ${times.start / 1000} s; it is killed`)
      this.#fails = true
      this.#daemon?.kill()
    }, times.start)
    try {
      this.#daemon = new DaemonProcess({ libc, loop: this.#loop, launcher }, command, {
        mounting: (call, channel) => this.#mountFor(call, channel),
        ended: (why, killed) => this.#daemonEnded(why, killed),
      })
      const { pid } = this.#daemon
      this.#state.note({ daemon: { pid, start: processStat(pid)?.start ?? '0' } })
    } catch (error) {
      this.#daemonEnded(withRemedy(`cannot be started: ${messageOf(error)}`, error), false)
    }
  }

  /** The daemon mounts. What the first one asks for decides about our mount. */
  #mountFor(call: MountCall, channel: DaemonChannel): 'EPERM' | undefined {
    this.#turns.due()
    try {
      this.#relay ??= this.#open(call)
    } catch (error) {
      this.#outcome.reject(error)
      return 'EPERM'
    }
    const relay = this.#relay
    this.#channel = { fd: channel.fd, serve: (most) => relay.serveChannel(most) }
    this.#loop.add(this.#channel)
    relay.connect(channel)
    return undefined
  }

  /** Throws ProgramError. */
  #open(call: MountCall): Relay {
    const { libc } = this.#parts
    const { given, mountpoint, command, stableInodes, readOnly } = this.#order
    if (call.type.startsWith('fuseblk'))
      throw new ProgramError(
        `${command.file} mounts a block device (${call.type}); only daemons of the type fuse can be shielded`,
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
      this.#state.note({ given, mountpoint, target: command.target, stableInodes, device: mounting.device })
      this.#device = { fd, serve: (most) => relay.serveDevice(most) }
      this.#loop.add(this.#device)
      return relay
    } catch (error) {
      throw new ProgramError(withRemedy(`${mountpoint}: cannot mount: ${messageOf(error)}`, error), STATUS.mountFailed, {
        cause: error,
      })
    }
  }

  #hooks(): RelayHooks {
    const { log, times } = this.#parts
    const { mountpoint, command } = this.#order
    const { file } = command
    return {
      ready: () => this.#ready(),
      refused: (why) => {
        log.error(`${file} ${why}; it is killed`)
        this.#fails = true
        this.#daemon?.kill()
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
      notify: this.#notify,
    }
  }

  /** The daemon serves. The first time the mount comes to its place. */
  #ready(): void {
    const { log } = this.#parts
    const { mountpoint, command } = this.#order
    clearTimeout(this.#startTimer)
    clearTimeout(this.#giveUpTimer)
    this.#turns.due()
    this.#servingSince = performance.now()
    const mounting = this.#mounting
    if (mounting === undefined) {
      log.info(`${command.file} serves ${mountpoint} again`)
      return
    }
    this.#attach(mounting).catch(this.#outcome.reject)
  }

  /** Brings the mount to its place once a successor can have it. */
  async #attach(mounting: DetachedMount): Promise<void> {
    const { libc, table, log, succession } = this.#parts
    const { mountpoint, command } = this.#order
    if (this.#relay?.resends !== true || this.#device === undefined)
      log.warning('this kernel is older than Linux 6.9: if this process is killed, the mount is dead')
    else await succession.keep(this.#device.fd, this.#state)
    if (this.#stopping) return
    try {
      mounting.attach(mountpoint)
      this.#mounting = undefined
      this.#mount = new OwnMount(mountpoint, table, libc, mounting.device)
      this.#state.note({ attached: true })
      succession.ready()
      log.info(`${command.file} serves ${mountpoint}`)
    } catch (error) {
      const message = withRemedy(`${mountpoint}: cannot mount: ${messageOf(error)}`, error)
      this.#outcome.reject(new ProgramError(message, STATUS.mountFailed, { cause: error }))
    }
  }

  #daemonEnded(why: string, killed: boolean): void {
    const { log, times } = this.#parts
    const { file } = this.#order.command
    clearTimeout(this.#startTimer)
    clearTimeout(this.#hangUpTimer)
    this.#closeChannel()
    this.#relay?.disconnect()
    // What it has started must not go on beside the next one.
    this.#daemon?.kill()
    this.#daemon?.close()
    this.#daemon = undefined
    if (this.#stopping) return
    if (this.#mount === undefined) {
      this.#outcome.reject(
        new ProgramError(`${file} ${why} before it had mounted; it has to stay in the foreground`, STATUS.failed),
      )
      return
    }
    const life = this.#servingSince === undefined ? undefined : performance.now() - this.#servingSince
    this.#servingSince = undefined
    log.warning(`${file} ${why}; it is started again`)
    if (life !== undefined) this.#giveUpTimer = setTimeout(() => this.#outcome.resolve('given up'), times.giveUp)
    setTimeout(
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
    const { daemons, resent, stale } = this.#relay.counts
    this.#parts.log.info(`daemons that served: ${daemons}; requests given to another: ${resent}; files not found again: ${stale}`)
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
    for (const timer of [this.#startTimer, this.#giveUpTimer, this.#hangUpTimer]) clearTimeout(timer)
    this.#mounting?.close()
    const daemon = this.#daemon
    const { leave, end, killed } = this.#parts.times
    if (
      this.#relay?.hidesFiles === true &&
      (daemon === undefined || (await settledWithin(this.#hiddenRemoved(this.#relay), end)) === 'late')
    )
      this.#parts.log.warning('the daemon has not removed what was removed while it was open; look for .dummy-shield-*')
    if (daemon === undefined) return
    daemon.terminate()
    if (!(await daemon.endsWithin(leave))) {
      this.#closeChannel()
      daemon.hangUp()
    }
    if (!(await killAfter(daemon, end, end + killed)))
      this.#parts.log.warning(`${this.#order.command.file} is still in the kernel after SIGKILL`)
  }
}

/** Writes notifications to the device one after another, in libuv's pool. What the kernel does not take is lost, as it would be without a relay. */
function notifier(libc: Libc, device: () => number | undefined): (message: Buffer) => void {
  const waiting: Buffer[] = []
  const write = libc.foreign('long write(int, void *, ulong)')
  const next = (): void => {
    const [message] = waiting
    const fd = device()
    if (message === undefined || fd === undefined) return
    write.async(fd, message, message.length, () => {
      waiting.shift()
      next()
    })
  }
  return (message) => {
    waiting.push(message)
    if (waiting.length === 1) next()
  }
}
