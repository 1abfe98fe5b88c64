import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { messageOf, ProgramError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { METRICS_LIMITS } from './limits.ts'

/** Where metrics are served: an IP address or a name of this machine; no host for all its addresses. Port 0 is one that the kernel chooses. */
export interface MetricsAddress {
  readonly host: string | undefined
  readonly port: number
}

/**
 * Serves metrics by HTTP at /metrics, in the text format of Prometheus: those of the process, and those that are added to the registry before
 * {@link listen}. Says at /readyz whether the program can be used: status 200, or 503 and the reason. It keeps no program running.
 */
export class MetricsEndpoint {
  readonly registry = new Registry()
  readonly #log: Logger
  readonly #unavailableReason: () => string | undefined
  readonly #server: Server

  /** `unavailableReason`: why the program cannot be used; undefined if it can. */
  constructor(log: Logger, unavailableReason: () => string | undefined) {
    this.#log = log
    this.#unavailableReason = unavailableReason
    const { request: time, loopLook } = METRICS_LIMITS
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: loopLook })
    this.#server = createServer({ requestTimeout: time, headersTimeout: time }, (request, response) => {
      this.#answer(request, response)
    })
  }

  /** Rejects with ProgramError if the address cannot be used. */
  async listen({ host, port }: MetricsAddress): Promise<void> {
    const server = this.#server
    const log = this.#log
    server.maxConnections = METRICS_LIMITS.connections
    server.on('clientError', (_error, socket) => {
      socket.destroy()
    })
    const shown = `${host === undefined ? '' : host.includes(':') ? `[${host}]` : host}:${port}`
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        reject(
          new ProgramError(
            `cannot serve metrics on ${shown}: ${messageOf(error)}; name another address with --metrics-address`,
            1,
            {
              cause: error,
            },
          ),
        )
      })
      server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve)
    })
    server.on('error', (error) => {
      log.warning(`the metrics on ${shown}: ${messageOf(error)}`)
    })
    server.unref()
    const address = server.address() as AddressInfo
    log.info(`Metrics are served on port ${address.port}, path /metrics`)
  }

  /** Ends at once, answers that are under way included. */
  async close(): Promise<void> {
    const closed = promisify(this.#server.close.bind(this.#server))()
    this.#server.closeAllConnections()
    await closed
  }

  #answer({ method = '', url = '' }: IncomingMessage, response: ServerResponse): void {
    const answer = (code: number, type: string, text: string): void => {
      response.writeHead(code, { 'content-type': type })
      response.end(method === 'HEAD' ? undefined : text)
    }
    const [path = ''] = url.split('?')
    if (path !== '/metrics' && path !== '/readyz') answer(404, 'text/plain', 'there are /metrics and /readyz\n')
    else if (method !== 'GET' && method !== 'HEAD') answer(405, 'text/plain', 'there are GET and HEAD\n')
    else if (path === '/readyz') {
      const reason = this.#unavailableReason()
      answer(reason === undefined ? 200 : 503, 'text/plain; charset=utf-8', `${reason ?? 'ready'}\n`)
    } else
      this.registry.metrics().then(
        (text) => {
          answer(200, this.registry.contentType, text)
        },
        (error: unknown) => {
          this.#log.error(`cannot collect the metrics: ${messageOf(error)}`)
          answer(500, 'text/plain', `${messageOf(error)}\n`)
        },
      )
  }
}
