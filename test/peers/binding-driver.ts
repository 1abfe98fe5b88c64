// A CSI node plugin whose volumes are bind mounts of one folder. It stages nothing. Started as `node binding-driver.ts SOCKET FOLDER`.
// BINDS=never: NodePublishVolume answers OK, and nothing is ever mounted.
// HEALS: a target that was unmounted is bound again, that many milliseconds later.
// FINDS=pods: when a target is bound again, it says which processes are in a cgroup with the uid of its pod: `UID: process PID in PATH`.
// STALLS=yes: when a target was unmounted, the plugin answers nothing more.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { type Handler, isMounted, run, serveNode } from './driver-server.ts'

interface Request {
  readonly targetPath: string
}

const [socket = '', folder = ''] = process.argv.slice(2)
const { BINDS, HEALS, FINDS, STALLS } = process.env
/** What was bound, and since when it is not. */
const bound = new Map<string, { goneAt: number | undefined }>()

function bind(target: string): void {
  run('mount', '--bind', folder, target)
  bound.set(target, { goneAt: undefined })
}

/** As seaweedfs finds the processes to whose mounts it brings a new one. */
function find(target: string): void {
  const [, uid = ''] = /\/pods\/([^/]+)\//.exec(target) ?? []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const [, path] = /^0::(.*)$/m.exec(cgroupsOf(pid)) ?? []
    if (path?.replaceAll('_', '-').includes(uid) === true) process.stderr.write(`${uid}: process ${pid} in ${path}\n`)
  }
}

function cgroupsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
  } catch {
    return '' // It has ended.
  }
}

function look(): void {
  for (const [target, one] of bound) {
    if (isMounted(target)) continue
    one.goneAt ??= Date.now()
    if (HEALS === undefined || Date.now() - one.goneAt < Number(HEALS)) continue
    bind(target)
    if (FINDS === 'pods') find(target)
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
