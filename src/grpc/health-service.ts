import { create } from '@bufbuild/protobuf'
import { type handleServerStreamingCall, Metadata, status } from '@grpc/grpc-js'
import {
  type Health,
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
  HealthCheckResponseSchema,
} from '../rpc/health_pb.ts'
import type { UnaryHandlers } from './service.ts'

/** The gRPC health checking protocol (grpc/health/v1/health.proto): the server as a whole (``) and each of its services. */
export class HealthService {
  readonly #names: ReadonlySet<string>
  readonly #watchers = new Set<(serving: Serving) => void>()
  #serving: Serving = Serving.SERVING

  constructor(serviceNames: readonly string[]) {
    this.#names = new Set(['', ...serviceNames])
  }

  /** Reports NOT_SERVING to every watcher and ends the watchers' calls. */
  stop(): void {
    this.#serving = Serving.NOT_SERVING
    for (const tell of this.#watchers) tell(this.#serving)
  }

  readonly handlers: UnaryHandlers<typeof Health> = {
    check: ({ service }) => {
      // Plain objects are grpc-js's statuses.
      // oxlint-disable-next-line typescript/only-throw-error
      if (!this.#names.has(service)) throw { code: status.NOT_FOUND, details: `no service ${service}`, metadata: new Metadata() }
      return { status: this.#serving }
    },
    list: () => ({ statuses: Object.fromEntries([...this.#names].map((name) => [name, { status: this.#serving }])) }),
  }

  /** Health.Watch: the status now, and again when it changes. */
  readonly watch: handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (call) => {
    const known = this.#names.has(call.request.service)
    call.write(create(HealthCheckResponseSchema, { status: known ? this.#serving : Serving.SERVICE_UNKNOWN }))
    const tell = (serving: Serving): void => {
      if (known) call.write(create(HealthCheckResponseSchema, { status: serving }))
      call.end()
    }
    this.#watchers.add(tell)
    call.on('cancelled', () => {
      this.#watchers.delete(tell)
      call.end()
    })
  }
}
