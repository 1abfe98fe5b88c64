import { array, boolean, looseObject, null_, number, object, optional, string, unknown, type GenericSchema } from 'valibot'
import { unlessAborted } from '../../call-context.ts'
import { Attachment } from '../../kubernetes/attachment.ts'
import type { Cluster } from '../../kubernetes/cluster.ts'
import type { LoggedContainer } from '../../kubernetes/pod-log.ts'
import { checked, jsonOrUndefined } from '../../schema.ts'
import type { Acts, AgentRequest } from '../agent/protocol.ts'

/** Milliseconds for a request, beside what it asks the agent itself to wait. */
const DEADLINE = 30_000

/** Milliseconds until the lab is attached to the agent. */
const ATTACH_DEADLINE = 30_000

/** How often the clocks are compared: the comparison with the shortest way counts. */
const COMPARISONS = 7

const ANSWER = object({ id: number(), at: number(), result: optional(unknown()), error: optional(string()) })

/** What each act gives, as it is checked. */
const RESULTS: { readonly [A in keyof Acts]: GenericSchema<unknown, Acts[A]['gives']> } = {
  hello: looseObject({ version: string(), commit: string() }),
  processes: array(number()),
  signal: null_(),
  ended: null_(),
  mounts: array(string()),
  podMounts: array(string()),
  holders: array(string()),
  disk: array(string()),
  unmount: null_(),
  abort: number(),
  limit: null_(),
  listens: boolean(),
  remove: array(string()),
}

interface Pending {
  readonly resolve: (answer: { readonly at: number; readonly result: unknown }) => void
  readonly reject: (error: Error) => void
}

/** The lab's connection to its agent on the node. */
export class AgentLink implements Disposable {
  readonly #attachment: Attachment
  readonly #pending: Map<number, Pending>
  #last = 0
  #offset = 0
  #lost: Error | undefined

  private constructor(attachment: Attachment, pending: Map<number, Pending>) {
    this.#attachment = attachment
    this.#pending = pending
    const onClosed = (): void => {
      this.#lost = new Error('the connection to the agent on the node is lost')
      for (const { reject } of pending.values()) reject(this.#lost)
      pending.clear()
    }
    attachment.closed.then(onClosed, onClosed)
  }

  /** Attaches to the agent's pod, which runs, and compares the clocks. Rejects with ApiError or Error. */
  static async open(cluster: Cluster, agent: LoggedContainer, signal: AbortSignal): Promise<AgentLink> {
    const pending = new Map<number, Pending>()
    const onLine = (line: string): void => {
      const answer = jsonOrUndefined(ANSWER, line)
      if (answer === undefined) return
      const asked = pending.get(answer.id)
      pending.delete(answer.id)
      if (answer.error === undefined) asked?.resolve({ at: answer.at, result: answer.result })
      else asked?.reject(new Error(`on the node: ${answer.error}`))
    }
    const attachment = await Attachment.open(cluster, agent, onLine, { signal, time: ATTACH_DEADLINE })
    const link = new AgentLink(attachment, pending)
    try {
      await link.#compareClocks(signal)
      return link
    } catch (error) {
      link[Symbol.dispose]()
      throw error
    }
  }

  /** Why it cannot be asked any more; undefined while it can. */
  get lost(): Error | undefined {
    return this.#lost
  }

  /** Now on the node's CLOCK_MONOTONIC, in milliseconds, as near as the way to the node allows. */
  now(): number {
    return performance.now() + this.#offset
  }

  /** Has something done on the node. Rejects with an Error: the agent's words, or that it does not answer. */
  async ask<A extends keyof Acts>(
    act: A,
    args: Acts[A]['takes'],
    signal?: AbortSignal,
    deadline = DEADLINE,
  ): Promise<Acts[A]['gives']> {
    return checked(RESULTS[act], (await this.#send(act, args, deadline, signal)).result)
  }

  async #send(
    act: keyof Acts,
    args: object,
    deadline: number,
    signal?: AbortSignal,
  ): Promise<{ readonly at: number; readonly result: unknown }> {
    if (this.#lost !== undefined) throw this.#lost
    const id = ++this.#last
    const late = AbortSignal.timeout(deadline)
    const answered = new Promise<{ readonly at: number; readonly result: unknown }>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
    })
    // After its deadline nothing waits for it.
    answered.catch(() => undefined)
    this.#attachment.send(JSON.stringify({ id, act, args } satisfies Omit<AgentRequest, 'args'> & { args: object }))
    try {
      return await unlessAborted(answered, signal === undefined ? late : AbortSignal.any([late, signal]))
    } catch (error) {
      signal?.throwIfAborted()
      if (late.aborted)
        throw new Error(`the agent on the node has not answered '${act}' within ${deadline / 1000} s`, { cause: error })
      throw error
    } finally {
      this.#pending.delete(id)
    }
  }

  async #compareClocks(signal: AbortSignal): Promise<void> {
    let shortest = Infinity
    for (let round = 0; round < COMPARISONS; round++) {
      const sent = performance.now()
      const { at } = await this.#send('hello', {}, DEADLINE, signal)
      const back = performance.now()
      if (back - sent >= shortest) continue
      shortest = back - sent
      this.#offset = at - (sent + back) / 2
    }
  }

  [Symbol.dispose](): void {
    this.#attachment[Symbol.dispose]()
  }
}
