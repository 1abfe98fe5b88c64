import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { text } from 'node:stream/consumers'
import { messageOf } from '../errors.ts'
import { LineCutter } from '../line-cutter.ts'
import { ApiError, failure } from './api-server.ts'
import type { Cluster } from './cluster.ts'

/** A container of a pod, whose log is followed. */
export interface LoggedContainer {
  readonly namespace: string
  readonly pod: string
  readonly container: string
}

/**
 * Follows the log of a container from its beginning to its end, and calls `onLine` with each line. Resolves when the log ends: with the container, or when the
 * server ends the answer. Rejects with ApiError, or with the signal's reason. `time`: milliseconds until the answer begins.
 *
 * The client's Log is not used: a connection that breaks ends the process there.
 */
export async function followLog(
  { config, server }: Cluster,
  { namespace, pod, container }: LoggedContainer,
  onLine: (line: string) => void,
  { signal, time }: { readonly signal: AbortSignal; readonly time: number },
): Promise<void> {
  signal.throwIfAborted()
  const options: RequestOptions = {}
  await config.applyToHTTPSOptions(options)
  const url = `${server}/api/v1/namespaces/${namespace}/pods/${pod}/log?container=${container}&follow=true`
  const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, { ...options, method: 'GET' })
  const stop = (): void => {
    request.destroy()
  }
  signal.addEventListener('abort', stop, { once: true })
  const late = setTimeout(() => request.destroy(new Error(`none came within ${time / 1000} s`)), time)
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).once('error', reject)
      request.end()
    })
    clearTimeout(late)
    const { statusCode = 0 } = response
    if (statusCode !== 200) throw failure(statusCode, await text(response), undefined)
    const lines = new LineCutter()
    for await (const piece of response as AsyncIterable<Buffer>) for (const line of lines.push(piece)) onLine(line)
    for (const line of lines.end()) onLine(line)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ApiError) throw error
    throw new ApiError(`no answer from ${server}: ${messageOf(error)}`, undefined, { cause: error })
  } finally {
    clearTimeout(late)
    signal.removeEventListener('abort', stop)
    request.destroy()
  }
}
