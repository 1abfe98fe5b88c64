// Serves CSI services whose handlers are plain functions.
import { create, type DescService, type Message } from '@bufbuild/protobuf'
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { serviceDefinition } from '../../src/grpc/service.ts'
import { Identity, Node, NodeServiceCapability_RPC_Type as Rpc } from '../../src/rpc/csi_pb.ts'

/** Answers a request by the fields of the answer, at once or later, or throws. */
export type Handler<Request> = (request: Request) => Record<string, unknown> | Promise<Record<string, unknown>>

/** An answer with a status. */
export class Refusal extends Error {
  readonly code: status

  constructor(code: status, message: string) {
    super(message)
    this.code = code
  }
}

/** Whether what is mounted at a path does not answer. */
export function isDead(path: string): boolean {
  try {
    readdirSync(path)
    return false
  } catch {
    return true
  }
}

/** Runs a program; throws what it says if it fails. */
export function run(program: string, ...words: readonly string[]): void {
  const { status: code, stderr } = spawnSync(program, words, { encoding: 'utf8' })
  if (code !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`)
}

/** Whether something is mounted at a path of this mount namespace. */
export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `)
}

/** What a node service says of itself that stages volumes. */
export const STAGES: Readonly<Record<'nodeGetInfo' | 'nodeGetCapabilities', Handler<unknown>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => ({ capabilities: [{ type: { case: 'rpc', value: { type: Rpc.STAGE_UNSTAGE_VOLUME } } }] }),
}

interface StagedRequest {
  readonly stagingTargetPath: string
  readonly targetPath: string
}

/** A target is a bind of the staging path. */
export const BINDS_STAGED: Readonly<Record<'nodePublishVolume' | 'nodeUnpublishVolume', Handler<StagedRequest>>> = {
  nodePublishVolume: ({ stagingTargetPath, targetPath }) => {
    mkdirSync(targetPath)
    run('mount', '--bind', stagingTargetPath, targetPath)
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    run('umount', targetPath)
    rmSync(targetPath, { recursive: true })
    return {}
  },
}

/** Listens on a socket. `log`: called with the name of each method and its request. */
export function serve<Request>(
  socket: string,
  services: readonly (readonly [DescService, Readonly<Record<string, Handler<Request>>>])[],
  log: (method: string, request: Request) => void,
): void {
  const server = new Server()
  for (const [service, handlers] of services) server.addService(serviceDefinition(service), answering(service, handlers, log))
  server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error
  })
}

/** Serves a plugin that has a name and a node service alone, on a socket whose folder it makes. */
export function serveNode<Request>(
  name: string,
  socket: string,
  node: Readonly<Record<string, Handler<Request>>>,
  log: (method: string, request: Request) => void = (method) => process.stderr.write(`${method}\n`),
): void {
  mkdirSync(dirname(socket), { recursive: true })
  rmSync(socket, { force: true })
  const identity = { getPluginInfo: () => ({ name, vendorVersion: '1' }) }
  serve<Request>(
    socket,
    [
      [Identity, identity],
      [Node, node],
    ],
    log,
  )
}

function answering<Request>(
  service: DescService,
  all: Readonly<Record<string, Handler<Request>>>,
  log: (method: string, request: Request) => void,
): UntypedServiceImplementation {
  const entries = service.methods.flatMap((method) => {
    const handler = all[method.localName]
    if (handler === undefined) return []
    const answer = async (request: Request): Promise<Message> => create(method.output, await handler(request))
    const handle = ({ request }: ServerUnaryCall<Request, Message>, done: sendUnaryData<Message>): void => {
      log(method.name, request)
      answer(request).then(
        (message) => {
          done(null, message)
        },
        (error: unknown) => {
          const code = error instanceof Refusal ? error.code : status.INTERNAL
          done({ code, details: error instanceof Refusal ? error.message : String(error) })
        },
      )
    }
    return [[method.localName, handle] as const]
  })
  return Object.fromEntries(entries)
}
