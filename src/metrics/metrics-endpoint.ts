import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import type { Registry } from 'prom-client'
import { messageOf, ProgramError } from '../errors.ts'
import type { Logger } from '../log.ts'

/** Where metrics are served: an IP address or a name of this machine; no host for all its addresses. Port 0 is one that the kernel chooses. */
export interface MetricsAddress {
  readonly host: string | undefined
  readonly port: number
}

/** Limits of {@link MetricsEndpoint}; milliseconds, and connections at the same time. */
export interface MetricsLimits {
  readonly request: number
  readonly connections: number
}

/** Serves the metrics of a registry by HTTP at /metrics, in the text format of Prometheus. It keeps no program running. */
export class MetricsEndpoint {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** Rejects with ProgramError if the address cannot be used. */
  static async open(
    registry: Registry,
    { host, port }: MetricsAddress,
    limits: MetricsLimits,
    log: Logger,
  ): Promise<MetricsEndpoint> {
    const server = createServer({ requestTimeout: limits.request, headersTimeout: limits.request }, (request, response) => {
      const { method = '', url = '' } = request
      const answer = (code: number, type: string, text: string): void => {
        response.writeHead(code, { 'content-type': type })
        response.end(method === 'HEAD' ? undefined : text)
      }
      if (url.split('?')[0] !== '/metrics') answer(404, 'text/plain', 'there is /metrics\n')
      else if (method !== 'GET' && method !== 'HEAD') answer(405, 'text/plain', 'there are GET and HEAD\n')
      else
        registry.metrics().then(
          (text) => {
            answer(200, registry.contentType, text)
          },
          (error: unknown) => {
            log.error(`cannot collect the metrics: ${messageOf(error)}`)
            answer(500, 'text/plain', `${messageOf(error)}\n`)
          },
        )
    })
    server.maxConnections = limits.connections
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
    return new MetricsEndpoint(server)
  }

  /** Ends at once, answers that are under way included. */
  async close(): Promise<void> {
    const closed = promisify(this.#server.close.bind(this.#server))()
    this.#server.closeAllConnections()
    await closed
  }
}
