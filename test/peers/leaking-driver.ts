// A CSI node plugin that keeps no secret: it logs its requests as they are, and names a password in the source of its mounts. Volumes are
// tmpfs with one file. Started as `node leaking-driver.ts SOCKET`.
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
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { serviceDefinition } from '../../src/grpc/service.ts'
import { Identity, Node, NodeServiceCapability_RPC_Type as Rpc } from '../../src/rpc/csi_pb.ts'

interface Request {
  readonly stagingTargetPath: string
  readonly targetPath: string
  readonly secrets: Readonly<Record<string, string>>
}

type Handler = (request: Request) => Record<string, unknown>

function run(program: string, ...words: readonly string[]): void {
  const { status: code, stderr } = spawnSync(program, words, { encoding: 'utf8' })
  if (code !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`)
}

/** The handlers as grpc-js wants them: each logs its request, and answers by the fields that it returns. */
function answering(service: DescService, all: Readonly<Record<string, Handler>>): UntypedServiceImplementation {
  const entries = service.methods.flatMap((method) => {
    const handler = all[method.localName]
    if (handler === undefined) return []
    const handle = ({ request }: ServerUnaryCall<Request, Message>, done: sendUnaryData<Message>): void => {
      process.stderr.write(`${JSON.stringify(request)}\n`)
      try {
        done(null, create(method.output, handler(request)))
      } catch (error) {
        done({ code: status.INTERNAL, details: String(error) })
      }
    }
    return [[method.localName, handle] as const]
  })
  return Object.fromEntries(entries)
}

const handlers: Readonly<Record<string, Handler>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => ({
    capabilities: [{ type: { case: 'rpc', value: { type: Rpc.STAGE_UNSTAGE_VOLUME } } }],
  }),
  nodeStageVolume: ({ stagingTargetPath, secrets }) => {
    run('mount', '-t', 'tmpfs', `//server/${secrets.password ?? ''}`, stagingTargetPath)
    writeFileSync(join(stagingTargetPath, 'file'), 'content')
    return {}
  },
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
  nodeUnstageVolume: ({ stagingTargetPath }) => {
    run('umount', stagingTargetPath)
    return {}
  },
}

const [socket = ''] = process.argv.slice(2)
mkdirSync(dirname(socket), { recursive: true })
rmSync(socket, { force: true })
const server = new Server()
const identity = { getPluginInfo: () => ({ name: 'leaking-driver', vendorVersion: '1' }) }
server.addService(serviceDefinition(Identity), answering(Identity, identity))
server.addService(serviceDefinition(Node), answering(Node, handlers))
server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error
})
