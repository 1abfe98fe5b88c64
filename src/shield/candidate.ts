import { messageOf } from '../errors.ts'
import type { SessionDescriptor } from '../fuse/session/loop.ts'
import type { DaemonChannel } from './daemon-channel.ts'
import { type DaemonCommand, type DaemonParts, DaemonProcess } from './daemon-process.ts'
import { MESSAGE_SIZE } from './messages.ts'
import { Refused } from './refused.ts'
import type { MountCall } from './trapped-calls.ts'

/** What a daemon has to agree with to take over. */
export interface Terms {
  /** The INIT that it is asked. */
  readonly init: Buffer
  /** What the first daemon has asked for. */
  readonly mounted: Pick<MountCall, 'flags' | 'data'>
  /** Why an answer to INIT is not one to live with; undefined if it is. */
  readonly disagreement: (answer: Buffer) => string | undefined
}

/** A daemon that is to take over. It is asked INIT, and nothing else before it has taken over. */
export class Candidate {
  readonly process: DaemonProcess
  readonly #parts: DaemonParts
  readonly #terms: Terms
  readonly #due: () => void
  readonly #ready = Promise.withResolvers<undefined>()
  #channel: DaemonChannel | undefined
  #listening: SessionDescriptor | undefined
  #ended: (why: string, killed: boolean) => void
  #end: string | undefined

  /** `due`: has promises that are settled here be looked at. Throws SystemError if there are no descriptors left. */
  constructor(parts: DaemonParts, command: DaemonCommand, terms: Terms, due: () => void) {
    this.#parts = parts
    this.#terms = terms
    this.#due = due
    this.#ready.promise.catch(() => undefined)
    this.#ended = (why) => this.#fail(`${why} before it served`)
    this.process = new DaemonProcess(parts, command, {
      mounting: (call, channel) => this.#mounting(call, channel),
      ended: (why, killed) => {
        this.#end = why
        this.#ended(why, killed)
      },
    })
  }

  /** Resolves when it has answered INIT, and agrees. Rejects with Refused, whose message says why it cannot take over. */
  get ready(): Promise<undefined> {
    return this.#ready.promise
  }

  /** How it has ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#end
  }

  /** It serves from now on. `ended`: told of its end. Returns its channel, which is not listened to any more. */
  takeOver(ended: (why: string, killed: boolean) => void): DaemonChannel {
    this.#leave()
    if (this.#channel === undefined) throw new Refused('it has not mounted')
    this.#ended = ended
    return this.#channel
  }

  /** Ends it, which has never served. `time`: milliseconds for which its end is waited for. */
  async discard(time: number): Promise<void> {
    this.#fail('it is not needed any more')
    this.process.kill()
    await this.process.endsWithin(time)
    this.#leave()
    this.process.close()
  }

  #mounting(call: MountCall, channel: DaemonChannel): 'EPERM' | undefined {
    const { init, mounted } = this.#terms
    const disagreement = mountDisagreement(call, mounted)
    if (disagreement !== undefined) {
      this.#fail(disagreement)
      return 'EPERM'
    }
    this.#channel = channel
    this.#listening = { fd: channel.fd, serve: () => this.#receive(channel) }
    this.#parts.loop.add(this.#listening)
    channel.send(init, init.length)
    return undefined
  }

  #receive(channel: DaemonChannel): number {
    const buffer = Buffer.alloc(MESSAGE_SIZE)
    const length = channel.receive(buffer)
    if (length === undefined) return 0
    this.#leave()
    try {
      const why = length === 0 ? 'has closed its device before it served' : this.#terms.disagreement(buffer.subarray(0, length))
      if (why === undefined) {
        this.#due()
        this.#ready.resolve(undefined)
      } else this.#fail(why)
    } catch (error) {
      this.#fail(messageOf(error))
    }
    return 1
  }

  #fail(why: string): void {
    this.#due()
    this.#ready.reject(new Refused(why))
  }

  #leave(): void {
    if (this.#listening !== undefined) this.#parts.loop.remove(this.#listening)
    this.#listening = undefined
  }
}

/** Why a daemon that mounts like this cannot serve a mount that another one has asked for (`mounted`); undefined if it can. */
export function mountDisagreement(call: MountCall, mounted: Terms['mounted']): string | undefined {
  const [theirs, ours] = [optionsOf(call), optionsOf(mounted)]
  return theirs === ours ? undefined : `asks for the mount options ${theirs}, where the mount lives with ${ours}`
}

/** What a daemon asks of its mount, in one order: names of types and sources aside, which users alone see. */
function optionsOf({ flags, data }: Terms['mounted']): string {
  const options = data.split(',').filter((option) => option !== '')
  return `${options.toSorted().join(',')} (flags 0x${flags.toString(16)})`
}
