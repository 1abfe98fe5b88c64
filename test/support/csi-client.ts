import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import type { Client } from '@grpc/grpc-js'
import { CallError, GrpcClient } from '../../src/grpc/client.ts'

export { CallError }

/**
 * Milliseconds that a test waits for an answer. The plugin's own deadline of ten seconds is sooner, so it is the plugin that says what is late,
 * also on a machine that stands still for seconds.
 */
export const RPC_LIMIT = 30_000

/** {@link GrpcClient} for calls that are to be answered within {@link RPC_LIMIT}. */
export class CsiClient extends GrpcClient {
  /** The grpc-js client itself, for streams and for requests that are no messages. */
  get raw(): Client {
    return this.client
  }

  /** Rejects with CallError, also DEADLINE_EXCEEDED with the client's own words when the plugin does not answer in time. */
  override async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I> = {} as MessageInitShape<I>,
    deadline = RPC_LIMIT,
    signal?: AbortSignal,
  ): Promise<MessageShape<O>> {
    return await super.call(method, request, deadline, signal)
  }
}

/** The name of the status that a call ends with, `OK` among them, and its words. */
export async function outcome(call: Promise<unknown>): Promise<{ readonly code: string; readonly details: string }> {
  try {
    await call
    return { code: 'OK', details: '' }
  } catch (error) {
    if (error instanceof CallError) return { code: error.code, details: error.details }
    throw error
  }
}

/** Milliseconds until the kubelet calls again the first time. */
const FIRST_BACKOFF = 500

/** What is not final to the kubelet: it calls again. */
const NOT_FINAL = ['UNAVAILABLE', 'DEADLINE_EXCEEDED']

/** Calls until it succeeds, as the kubelet does. Resolves to the details of the answers before. Rejects with AssertionError for a status that is final. */
export async function untilDone(call: () => Promise<void>): Promise<readonly string[]> {
  const answers: string[] = []
  for (;;) {
    const { code, details } = await outcome(call())
    if (code === 'OK') return answers
    assert.ok(NOT_FINAL.includes(code), `${code}: ${details}`)
    answers.push(details)
    await sleep(FIRST_BACKOFF)
  }
}
