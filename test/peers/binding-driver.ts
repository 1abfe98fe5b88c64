// A CSI node plugin whose volumes are bind mounts of one folder. It stages nothing. Started as `node binding-driver.ts SOCKET FOLDER`.
// BINDS=never: NodePublishVolume answers OK, and nothing is ever mounted.
// HEALS: a target that was unmounted is bound again, that many milliseconds later.
// STALLS=yes: when a target was unmounted, the plugin answers nothing more.
import { mkdirSync, rmSync } from 'node:fs'
import { type Handler, isMounted, run, serveNode } from './driver-server.ts'

interface Request {
  readonly targetPath: string
}

const [socket = '', folder = ''] = process.argv.slice(2)
const { BINDS, HEALS, STALLS } = process.env
/** What was bound, and since when it is not. */
const bound = new Map<string, { goneAt: number | undefined }>()

function bind(target: string): void {
  run('mount', '--bind', folder, target)
  bound.set(target, { goneAt: undefined })
}

function look(): void {
  for (const [target, one] of bound) {
    if (isMounted(target)) continue
    one.goneAt ??= Date.now()
    if (HEALS !== undefined && Date.now() - one.goneAt >= Number(HEALS)) bind(target)
  }
}

const node: Readonly<Record<string, Handler<Request>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => {
    const isGone = [...bound.keys()].some((target) => !isMounted(target))
    if (STALLS === 'yes' && isGone) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    return { capabilities: [] }
  },
  nodePublishVolume: ({ targetPath }) => {
    mkdirSync(targetPath, { recursive: true })
    if (BINDS !== 'never') bind(targetPath)
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    bound.delete(targetPath)
    if (isMounted(targetPath)) run('umount', targetPath)
    rmSync(targetPath, { recursive: true, force: true })
    return {}
  },
}

setInterval(look, 100)
serveNode<Request>('binding-driver', socket, node)
