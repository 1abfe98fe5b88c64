import { status } from '@grpc/grpc-js'
import { Gauge, Histogram, type Registry } from 'prom-client'
import { codeName } from '../grpc/code-name.ts'
import type { UnaryInterceptor } from '../grpc/service.ts'

/** Upper bounds of the buckets of call durations, in seconds: those of the sidecars of the Kubernetes CSI project, and finer ones below them. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600]

const CODES = Object.values(status).filter((value) => typeof value === 'number')

/**
 * The durations of calls by method and status, `csi_plugin_operations_seconds` with the labels of the sidecars of the Kubernetes CSI project, and the number of
 * calls that are not answered yet.
 */
export class CallMetrics {
  readonly #driverName: string
  readonly #durations: Histogram<'driver_name' | 'method_name' | 'grpc_status_code'>
  readonly #running: Gauge<'method_name'>

  constructor(registry: Registry, driverName: string) {
    const registers = [registry]
    this.#driverName = driverName
    this.#durations = new Histogram({
      name: 'csi_plugin_operations_seconds',
      help: 'Duration of the CSI calls that were answered, by method and gRPC status.',
      labelNames: ['driver_name', 'method_name', 'grpc_status_code'],
      buckets: BUCKETS,
      registers,
    })
    this.#running = new Gauge({
      name: 'dummy_fuse_csi_calls_running',
      help: 'CSI calls that are not answered yet, by method.',
      labelNames: ['method_name'],
      registers,
    })
  }

  /** An interceptor around another one whose failures are statuses. */
  around(inner: UnaryInterceptor): UnaryInterceptor {
    return async (method, request, act) => {
      const method_name = `/${method.parent.typeName}/${method.name}`
      this.#running.inc({ method_name })
      const observe = this.#durations.startTimer({ driver_name: this.#driverName, method_name })
      let code: status = status.OK
      try {
        return await inner(method, request, act)
      } catch (error) {
        code = codeOf(error)
        throw error
      } finally {
        observe({ grpc_status_code: codeName(code) })
        this.#running.dec({ method_name })
      }
    }
  }
}

function codeOf(error: unknown): status {
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined
  return CODES.find((known) => known === code) ?? status.UNKNOWN
}
