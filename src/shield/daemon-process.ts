import { closeSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { messageOf } from '../errors.ts'
import type { ServingLoop } from '../fuse/session/loop.ts'
import type { Libc } from '../os/libc.ts'
import { ChildProgram, describeEnd, type ProcessEnd } from '../os/processes/child-program.ts'
import type { Killable } from '../os/processes/kill-after.ts'
import { EXEC_FAILED, type Launcher } from '../os/processes/launcher.ts'
import { sendSignal } from '../os/processes/processes.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { DatagramSocket } from '../os/sockets/unix-datagram.ts'
import { type Confinement, confined } from './confinement.ts'
import { DaemonChannel, widen } from './daemon-channel.ts'
import { ASKED_FOR } from './daemon-target.ts'
import { type MountCall, TrappedCalls, type TrapHandler } from './trapped-calls.ts'

/** The launcher's exit statuses when the kernel refused the filter or the mount namespace; as in launcher.s. */
const FILTER_REFUSED = 202
const NAMESPACE_REFUSED = 204

/** A command whose processes are to be started. */
export interface DaemonCommand {
  readonly file: string
  /** As it was given, with its placeholders. */
  readonly words: readonly string[]
  readonly args: readonly string[]
  /** The empty directory that the arguments name as the mount point. Nothing is ever mounted there. */
  readonly target: string
  /** Whom it runs as, in a mount namespace of its own; undefined: as this process, and in its namespace. */
  readonly confinement?: Confinement | undefined
}

/** What a daemon is started with. */
export interface DaemonParts {
  readonly libc: Libc
  readonly loop: ServingLoop
  readonly launcher: Launcher
  /** Takes each line that a daemon writes to its standard output and error, with the name that it was called by; undefined: both are ours. */
  readonly output: ((line: string, daemon: string) => void) | undefined
  /** Where our mount is, once it is there: a mount namespace of the daemon's own is not to hold it. */
  readonly mountpoint?: string | undefined
}

/** What is done about a daemon. */
export interface DaemonHandler {
  /**
   * The daemon mounts. From now on `channel` is what it takes for its /dev/fuse. Returns the errno's name that its mount(2) fails with; undefined if it
   * succeeds.
   */
  mounting(call: MountCall, channel: DaemonChannel): 'EPERM' | undefined
  /** The daemon's process has ended, or was never started; called once. What it has started may still run. `killed`: by SIGKILL. */
  ended(why: string, killed: boolean): void
}

/** One process of a FUSE daemon, which is started behind the launcher's filter. */
export class DaemonProcess implements Killable {
  readonly #parts: DaemonParts
  readonly #child: ChildProgram
  readonly #channel: DaemonChannel
  /** The socket that takes the place of the daemon's /dev/fuse, until it has. */
  #theirs: number | undefined
  readonly #inbox: DatagramSocket
  #traps: TrappedCalls | undefined
  #receiving: { readonly fd: number; readonly serve: () => number } | undefined

  readonly #askedFor: string

  /** Throws SystemError if there are no descriptors left. */
  constructor(parts: DaemonParts, command: DaemonCommand, handler: DaemonHandler) {
    const { libc, loop, launcher, output, mountpoint } = parts
    this.#parts = parts
    const [[ours, theirs], [inbox, outbox]] = twoPairs(libc)
    this.#channel = new DaemonChannel(libc, ours)
    widen(libc, theirs)
    this.#theirs = theirs
    this.#inbox = DatagramSocket.ofPair(libc, inbox, 1)
    const { file, args, target, confinement } = command
    this.#askedFor = join(target, ASKED_FOR)
    // A process of ours that was killed may have left it.
    rmSync(this.#askedFor, { force: true })
    const stdio = output === undefined ? 'inherit' : 'pipe'
    const executed = confinement === undefined ? { file, args } : confined(confinement, { file, args })
    // The launcher unmounts this path in a namespace of the daemon's own; without one it makes none. Nothing is ever mounted at the target.
    const hidden = confinement === undefined ? '' : (mountpoint ?? target)
    this.#child = new ChildProgram({
      file: launcher.path,
      args: [hidden, executed.file, ...executed.args],
      detached: true,
      stdio: ['ignore', stdio, stdio, outbox],
    })
    closeSync(outbox)
    if (output !== undefined)
      for (const input of [this.#child.stdout, this.#child.stderr])
        if (input !== undefined) createInterface({ input }).on('line', (line) => output(line, args[0] ?? file))
    const traps: TrapHandler = {
      target,
      mount: (call) => this.#mount(call, handler),
      ended: () => this.#endTraps(),
    }
    this.#receiving = { fd: inbox, serve: () => this.#receive(traps) }
    loop.add(this.#receiving)
    this.#child.ended.then(
      (end) => handler.ended(describe(end, file), end.signal === 'SIGKILL'),
      (error: unknown) => handler.ended(`cannot be started: ${messageOf(error)}`, false),
    )
  }

  /** 0 if it was not started. */
  get pid(): number {
    return this.#child.pid
  }

  /** Resolves when it has ended and all that it has written is read, or after `time` milliseconds. */
  async said(time: number): Promise<void> {
    await settledWithin(
      this.#child.closed.catch(() => undefined),
      time,
    )
  }

  async endsWithin(time: number): Promise<boolean> {
    return await this.#child.endsWithin(time)
  }

  /** Asks it to end. */
  terminate(): void {
    this.#child.signal('SIGTERM')
  }

  /** Its device ends. The channel must not be waited for any more. */
  hangUp(): void {
    this.#channel.close()
  }

  /** Kills it, and what it has started in its session. */
  kill(): void {
    // The group may outlive its first process.
    if (this.#child.pid !== 0) sendSignal(-this.#child.pid, 'SIGKILL')
  }

  /** Closes its channel and all that it was answered by. The handler is not called any more for a mount. */
  close(): void {
    this.#endReceiving()
    this.#endTraps()
    this.#closeTheirs()
    this.#channel.close()
    rmSync(this.#askedFor, { force: true })
  }

  /** The launcher has sent the listener of its filter, or ended. */
  #receive(handler: TrapHandler): number {
    const [listener] = this.#inbox.receive()?.descriptors ?? []
    this.#endReceiving()
    if (listener === undefined) return 0
    this.#traps = new TrappedCalls(this.#parts.libc, listener, handler)
    this.#parts.loop.add(this.#traps)
    return 1
  }

  #mount(call: MountCall, handler: DaemonHandler): number | 'EBUSY' | 'EPERM' {
    const theirs = this.#theirs
    // A daemon that mounts twice has two file systems.
    if (theirs === undefined) return 'EBUSY'
    const refused = handler.mounting(call, this.#channel)
    if (refused !== undefined) return refused
    // A daemon that may write there could have made a link to any file of root's.
    writeFileSync(this.#askedFor, '', { flag: 'wx' })
    // Once the daemon alone has it, its end is the channel's end.
    queueMicrotask(() => this.#closeTheirs())
    return theirs
  }

  #endReceiving(): void {
    if (this.#receiving === undefined) return
    this.#parts.loop.remove(this.#receiving)
    closeSync(this.#receiving.fd)
    this.#receiving = undefined
  }

  #endTraps(): void {
    if (this.#traps === undefined) return
    this.#parts.loop.remove(this.#traps)
    closeSync(this.#traps.fd)
    this.#traps = undefined
  }

  #closeTheirs(): void {
    if (this.#theirs !== undefined) closeSync(this.#theirs)
    this.#theirs = undefined
  }
}

/** Two {@link Libc.socketPair}, or none. Throws SystemError. */
function twoPairs(libc: Libc): readonly [readonly [number, number], readonly [number, number]] {
  const first = libc.socketPair()
  try {
    return [first, libc.socketPair()]
  } catch (error) {
    for (const fd of first) closeSync(fd)
    throw error
  }
}

function describe(end: ProcessEnd, file: string): string {
  switch (end.status) {
    case FILTER_REFUSED:
      return 'cannot be filtered: seccomp(2) is refused; Linux 5.19 or newer is needed, and a container that allows the call'
    case NAMESPACE_REFUSED:
      return 'cannot have a mount namespace of its own: unshare(2) or mount(2) is refused; start the shield where root may mount, and / is a mount point'
    case EXEC_FAILED:
      return `cannot be executed: name a program that is there instead of ${file}`
    default:
      return `ended with ${describeEnd(end)}`
  }
}
