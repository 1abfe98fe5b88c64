// A CSI node plugin that stages nothing: each publication is a FUSE mount of its own, by a dummy-fuse in the background. It has the capability
// GET_VOLUME_HEALTH and does not implement it. It knows one mount option, noatime, and refuses others with the code that FUSE_DRIVER_REFUSES names.
// Started as `node fuse-driver.ts SOCKET DUMMY-FUSE`.
import { status } from '@grpc/grpc-js'
import { mkdirSync, rmSync } from 'node:fs'
import { NodeServiceCapability_RPC_Type as Rpc } from '../../src/rpc/csi_pb.ts'
import { type Handler, Refusal, run, serveNode } from './driver-server.ts'

interface Request {
  readonly targetPath: string
  readonly volumeCapability?: {
    readonly accessType: { readonly value?: { readonly mountFlags: readonly string[] } }
  }
}

const [socket = '', dummyFuse = ''] = process.argv.slice(2)
const { FUSE_DRIVER_REFUSES: refuses = 'INVALID_ARGUMENT' } = process.env

const handlers: Readonly<Record<string, Handler<Request>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => ({ capabilities: [{ type: { case: 'rpc', value: { type: Rpc.GET_VOLUME_HEALTH } } }] }),
  nodePublishVolume: ({ targetPath, volumeCapability }) => {
    const unknown = volumeCapability?.accessType.value?.mountFlags.find((flag) => flag !== 'noatime')
    if (unknown !== undefined) throw new Refusal(status[refuses as keyof typeof status], `fuse: unknown option '${unknown}'`)
    mkdirSync(targetPath, { recursive: true })
    run(dummyFuse, targetPath)
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    run('umount', '-l', targetPath)
    rmSync(targetPath, { recursive: true })
    return {}
  },
}

serveNode<Request>('fuse-driver', socket, handlers)
