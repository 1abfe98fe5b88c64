import { setTimeout as sleep } from 'node:timers/promises'
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js'
import type { DescService } from '@bufbuild/protobuf'
import type { CallLimits } from '../call-context.ts'
import type { Logger } from '../log.ts'
import type { ListeningSocket } from '../os/sockets/listening-socket.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { Health } from '../rpc/health_pb.ts'
import { ServerReflection } from '../rpc/reflection_v1_pb.ts'
import { ServerReflection as ServerReflectionAlpha } from '../rpc/reflection_v1alpha_pb.ts'
import { ActiveCalls } from './active-calls.ts'
import { serviceDefinition, type UnaryHandler, unaryImplementation, type UnaryInterceptor } from './service.ts'
import { HealthService } from './health-service.ts'
import { RewritingConnection } from './rewriting-connection.ts'
import { Reflection } from './reflection.ts'

/** The limits of a server; times are milliseconds. */
export interface ServerLimits {
  /** Clients that are connected at the same time; the next is cut off. */
  readonly connections: number
  /** Calls at the same time on one connection; further ones wait in their client. */
  readonly streams: number
  /** For a client to begin to speak HTTP/2. */
  readonly handshake: number
  readonly calls: CallLimits
  /** For calls under way, when it closes. */
  readonly drain: number
  /** For clients to take their last answers and to hang up, once no call is under way. */
  readonly hangUp: number
}

/** A service and the handlers of its unary methods. */
export interface ServedService {
  readonly service: DescService
  readonly handlers: object
}

/** A gRPC server on its socket, with health and reflection beside its own services. */
export class GrpcServer {
  readonly #server: Server
  readonly #health: HealthService
  readonly #log: Logger
  readonly #limits: ServerLimits
  readonly #calls = new ActiveCalls()
  readonly #rateLimitedLog: RateLimitedLog
  readonly #sockets: ListeningSocket[] = []
  #connections = 0

  /** `intercept` wraps every call of `services`. */
  constructor(services: readonly ServedService[], intercept: UnaryInterceptor, limits: ServerLimits, log: Logger) {
    this.#log = log
    this.#rateLimitedLog = new RateLimitedLog(log)
    this.#limits = limits
    this.#server = new Server({ 'grpc.enable_channelz': 0, 'grpc.max_concurrent_streams': limits.streams })
    const counted = this.#calls.around(intercept)
    for (const { service, handlers } of services) {
      log.info(`Registering ${service.name} server`)
      this.#add(service, unaryImplementation(service, handlers as Readonly<Record<string, UnaryHandler>>, counted, limits.calls))
    }
    const own = services.map(({ service }) => service)
    this.#health = new HealthService(own.map(({ typeName }) => typeName))
    const health = unaryImplementation(Health, this.#health.handlers, (_method, _request, act) => act(), limits.calls)
    this.#add(Health, { ...health, watch: this.#health.watch })
    const reflection = new Reflection([...own, Health, ServerReflection, ServerReflectionAlpha])
    this.#add(ServerReflection, { serverReflectionInfo: reflection.handle })
    this.#add(ServerReflectionAlpha, { serverReflectionInfo: reflection.handle })
  }

  /** Serves all clients of a socket that is listened on already; there may be several. */
  serve(socket: ListeningSocket): void {
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
    const { connections, handshake } = this.#limits
    socket.serve((connection) => {
      if (this.#connections >= connections) {
        connection.destroy()
        this.#rateLimitedLog.warning(
          'connections',
          `the connection of a client of ${socket.path} is closed: ${connections} clients are connected`,
        )
        return
      }
      this.#connections++
      connection.once('close', () => this.#connections--)
      injector.injectConnection(new RewritingConnection(connection, handshake))
    })
    this.#sockets.push(socket)
    this.#log.info(`Listening for connections on &net.UnixAddr{Name:"${socket.path}", Net:"unix"}`)
  }

  /**
   * Accepts no new calls, waits for those under way until a deadline, and removes the socket. A connection ends when its last answer was received,
   * but a connection on which a client never spoke HTTP/2 would stay for ever. The callback of tryShutdown() is not enough: grpc-js counts a session
   * as ended that still has an answer to send (Node closes the sessions of a server that it closes).
   */
  async close(): Promise<void> {
    const hungUp = Promise.all(this.#sockets.map(async (socket) => await socket.close()))
    this.#health.stop()
    this.#server.tryShutdown(() => undefined)
    const { drain, hangUp } = this.#limits
    const answered = await Promise.race([this.#calls.ended(), sleep(drain, 'late' as const, { ref: false })])
    if (answered === 'late') this.#log.warning(`calls are still running after ${drain / 1000} s, and are aborted`)
    await Promise.race([hungUp, sleep(hangUp, undefined, { ref: false })])
    this.#server.forceShutdown()
  }

  #add(service: DescService, implementation: UntypedServiceImplementation): void {
    this.#server.addService(serviceDefinition(service), implementation)
  }
}
