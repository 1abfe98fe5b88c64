// A CSI node plugin that stages nothing: each publication is a FUSE mount of its own, by a dummy-fuse in the background. It has the capability
// GET_VOLUME_HEALTH and does not implement it. It knows one mount option, noatime, and refuses others with the code that FUSE_DRIVER_REFUSES names.
// With FUSE_DRIVER_AT, it mounts once, at that path, and binds that to each target. It unmounts a mount there that is dead, and goes on with the bare folder.
// Started as `node fuse-driver.ts SOCKET DUMMY-FUSE`.
import { status } from '@grpc/grpc-js'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { NodeServiceCapability_RPC_Type as Rpc } from '../../src/rpc/csi_pb.ts'
import { type Handler, Refusal, run, serveNode } from './driver-server.ts'

interface Request {
  readonly targetPath: string
  readonly volumeCapability?: {
    readonly accessType: { readonly value?: { readonly mountFlags: readonly string[] } }
  }
}

const [socket = '', dummyFuse = ''] = process.argv.slice(2)
const { FUSE_DRIVER_REFUSES: refuses = 'INVALID_ARGUMENT', FUSE_DRIVER_AT: at } = process.env
let mounted = false

function mountOnce(path: string): void {
  if (!mounted) {
    mkdirSync(path, { recursive: true })
    run(dummyFuse, path)
    mounted = true
  }
  try {
    readdirSync(path)
  } catch {
    run('umount', '-l', path)
  }
}

const handlers: Readonly<Record<string, Handler<Request>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => ({ capabilities: [{ type: { case: 'rpc', value: { type: Rpc.GET_VOLUME_HEALTH } } }] }),
  nodePublishVolume: ({ targetPath, volumeCapability }) => {
    const unknown = volumeCapability?.accessType.value?.mountFlags.find((flag) => flag !== 'noatime')
    if (unknown !== undefined) throw new Refusal(status[refuses as keyof typeof status], `fuse: unknown option '${unknown}'`)
    mkdirSync(targetPath, { recursive: true })
    if (at === undefined) run(dummyFuse, targetPath)
    else {
      mountOnce(at)
      run('mount', '--bind', at, targetPath)
    }
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    run('umount', '-l', targetPath)
    rmSync(targetPath, { recursive: true })
    return {}
  },
}

serveNode<Request>('fuse-driver', socket, handlers)
