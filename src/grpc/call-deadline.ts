import { Metadata, status } from '@grpc/grpc-js'
import { type CallEnded, type CallLimits, RunningCall } from '../call-context.ts'

/**
 * The metadata entry that carries the instant at which a call is of no use any more, in nanoseconds of CLOCK_MONOTONIC. grpc-timeout
 * counts from the moment at which the server reads it: a server that was stopped meanwhile would begin what its client has given up.
 */
const EXPIRES = 'dummy-fuse-expires-ns'

/**
 * The metadata of a call that ends in `deadline` milliseconds, for a server on the same machine. It includes grpc-timeout, because grpc-js computes
 * its own from the wall clock when the call has a connection: a clock that was set meanwhile makes it zero, or days.
 */
export function expiringIn(deadline: number): Metadata {
  const metadata = new Metadata()
  metadata.set('grpc-timeout', `${Math.max(Math.ceil(deadline), 1)}m`)
  metadata.set(EXPIRES, String(process.hrtime.bigint() + BigInt(Math.round(deadline * 1e6))))
  return metadata
}

/** What a server sees of a call. */
interface ReceivedCall {
  readonly metadata: Metadata
  /** The client's deadline by grpc-timeout; Infinity if it names none. */
  getDeadline(): Date | number
}

/** Begins a call that was received: it has the client's deadline or that of the limits, whichever is sooner. No other place gives a call its time. */
export function beginCall(received: ReceivedCall, limits: CallLimits): RunningCall {
  return new RunningCall(timeOf(received, limits), limits)
}

/** Milliseconds until a call's answer is due. 0 or less: the client has given the call up. */
function timeOf(call: ReceivedCall, { standard, longest }: CallLimits): number {
  const deadline = call.getDeadline()
  const byTimeout = (typeof deadline === 'number' ? deadline : deadline.getTime()) - Date.now()
  const named = Math.min(byTimeout, untilExpiry(call.metadata))
  return named === Infinity ? standard : Math.min(named, longest)
}

function untilExpiry(metadata: Metadata): number {
  const [text] = metadata.get(EXPIRES)
  if (typeof text !== 'string' || !/^\d{1,19}$/.test(text)) return Infinity
  return Number(BigInt(text) - process.hrtime.bigint()) / 1e6
}

/** The status of a call that ended before its work was done. */
export function statusOfEnd({ kind }: CallEnded): status {
  return kind === 'deadline' ? status.DEADLINE_EXCEEDED : status.CANCELLED
}
