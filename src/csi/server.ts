import { unlinkSync } from 'node:fs'
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js'
import type { DescService } from '@bufbuild/protobuf'
import type { Logger } from '../log.ts'
import { Controller, Identity, Node } from '../rpc/csi_pb.ts'
import { Health } from '../rpc/health_pb.ts'
import { ServerReflection } from '../rpc/reflection_v1_pb.ts'
import { ServerReflection as ServerReflectionAlpha } from '../rpc/reflection_v1alpha_pb.ts'
import { type UnaryHandler, type UnaryHandlers, serviceDefinition, unaryImplementation } from './grpc-service.ts'
import { HealthService } from './health-service.ts'
import { Reflection } from './reflection.ts'
import { requestLog } from './request-log.ts'

/** Milliseconds that calls under way get to end after SIGTERM; none of ours takes longer. */
const DRAIN_DEADLINE = 10_000

/** The CSI services to serve; one that is absent is not registered. */
export interface CsiServices {
  readonly identity: UnaryHandlers<typeof Identity>
  readonly node: UnaryHandlers<typeof Node> | undefined
  readonly controller: UnaryHandlers<typeof Controller>
}

/** The gRPC server on its socket, with health and reflection beside the CSI services. */
export class CsiServer {
  readonly #server = new Server()
  readonly #health: HealthService
  readonly #log: Logger
  #path: string | undefined

  constructor(services: CsiServices, log: Logger) {
    this.#log = log
    const csi: readonly (readonly [DescService, object | undefined])[] = [
      [Identity, services.identity],
      [Node, services.node],
      [Controller, services.controller],
    ]
    const intercept = requestLog(log)
    const registered = csi.flatMap(([service, handlers]) => (handlers === undefined ? [] : [{ service, handlers }]))
    for (const { service, handlers } of registered) {
      log.info(`Registering ${service.name} server`)
      this.#add(service, unaryImplementation(service, handlers as Readonly<Record<string, UnaryHandler>>, intercept))
    }
    const reflected = [...registered.map(({ service }) => service), Health, ServerReflection, ServerReflectionAlpha]
    this.#health = new HealthService(registered.map(({ service }) => service.typeName))
    const health = unaryImplementation(
      Health,
      this.#health.handlers,
      (_method, _request, act) => act(),
    )
    this.#add(Health, { ...health, watch: this.#health.watch })
    const reflection = new Reflection(reflected)
    this.#add(ServerReflection, { serverReflectionInfo: reflection.handle })
    this.#add(ServerReflectionAlpha, { serverReflectionInfo: reflection.handle })
  }

  /** Listens on a unix socket of mode 0600, whose path nothing may be in the way of. */
  async listen(path: string): Promise<void> {
    const before = process.umask(0o177)
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
          if (error === null) resolve()
          else reject(error)
        })
      })
    } finally {
      process.umask(before)
    }
    this.#path = path
    this.#log.info(`Listening for connections on &net.UnixAddr{Name:"${path}", Net:"unix"}`)
  }

  /** Takes no new calls, lets those under way end, until a deadline, and removes the socket. */
  async close(): Promise<void> {
    this.#health.stop()
    const drained = new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => {
        resolve()
      })
    })
    const timer = setTimeout(() => {
      this.#log.warning(`calls are still under way after ${DRAIN_DEADLINE / 1000} s, and are cut off`)
      this.#server.forceShutdown()
    }, DRAIN_DEADLINE)
    await drained
    clearTimeout(timer)
    if (this.#path !== undefined) removeIfThere(this.#path)
  }

  #add(service: DescService, implementation: UntypedServiceImplementation): void {
    this.#server.addService(serviceDefinition(service), implementation)
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // grpc-js removes it as it closes.
  }
}
