// A CSI node plugin whose volumes are bind mounts of one folder. It stages nothing. Started as `node binding-driver.ts SOCKET FOLDER`.
// BINDS=late: NodePublishVolume answers OK at once. The mount comes a second later or after that, and not before something was written to the bare target.
// BINDS=never: it answers OK, and nothing is ever mounted.
// HEALS: a target that was unmounted is bound again, that many milliseconds later.
// FINDS=pods: when a target is bound again, it says which processes are in a cgroup with the uid of its pod: `UID: process PID in PATH`.
// STALLS=yes: when a target was unmounted, the plugin answers nothing more.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { type Handler, isMounted, run, serveNode } from './driver-server.ts'

interface Request {
  readonly targetPath: string
}

interface Published {
  readonly at: number
  bound: boolean
  goneAt: number | undefined
}

const [socket = '', folder = ''] = process.argv.slice(2)
const { BINDS, HEALS, FINDS, STALLS } = process.env
const published = new Map<string, Published>()

function bind(target: string, one: Published): void {
  run('mount', '--bind', folder, target)
  one.bound = true
  one.goneAt = undefined
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
  for (const [target, one] of published) {
    if (!one.bound) {
      if (BINDS === 'late' && Date.now() - one.at >= 1000 && readdirSync(target).length > 0) bind(target, one)
    } else if (!isMounted(target)) {
      one.goneAt ??= Date.now()
      if (HEALS !== undefined && Date.now() - one.goneAt >= Number(HEALS)) {
        bind(target, one)
        if (FINDS === 'pods') find(target)
      }
    }
  }
}

const node: Readonly<Record<string, Handler<Request>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => {
    const isGone = [...published].some(([target, { bound }]) => bound && !isMounted(target))
    if (STALLS === 'yes' && isGone) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    return { capabilities: [] }
  },
  nodePublishVolume: ({ targetPath }) => {
    mkdirSync(targetPath, { recursive: true })
    const one: Published = { at: Date.now(), bound: false, goneAt: undefined }
    published.set(targetPath, one)
    if (BINDS === undefined) bind(targetPath, one)
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    published.delete(targetPath)
    if (isMounted(targetPath)) run('umount', targetPath)
    rmSync(targetPath, { recursive: true, force: true })
    return {}
  },
}

setInterval(look, 100)
serveNode<Request>('binding-driver', socket, node)
