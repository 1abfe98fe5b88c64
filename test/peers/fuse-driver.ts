// A CSI node plugin that stages nothing: each publication is a FUSE mount of its own, by a program in the background. It has the capability
// GET_VOLUME_HEALTH and does not implement it. It knows one mount option, noatime, and refuses others with the code that FUSE_DRIVER_REFUSES names.
// Started as `node fuse-driver.ts SOCKET PROGRAM ARGUMENT...`; the path of the mount is the program's last argument.
// FUSE_DRIVER_STAGES=yes: it stages, and mounts FUSE there. A target is a bind of that, whether it is alive or dead.
// FUSE_DRIVER_LATE=PATH: once there is something at that path, NodePublishVolume answers OK before the mount stands. The mount comes when something was written
// to the bare target, and FUSE_DRIVER_INTO, a program (bind-into.c), binds it into the pods that have the bare folder at /mnt (as seaweedfs does).
// FUSE_DRIVER_AT=PATH: it mounts once, at that path, and binds that to each target. It unmounts a mount there that is dead, and goes on with the bare folder.
// FUSE_DRIVER_BY=systemd: the program is a unit of its own, which systemd-run(1) starts, so that it outlives the plugin.
// FUSE_DRIVER_BY=unshare: the program has a mount namespace of its own. The node sees its mount, and a bind of its own stays when that is unmounted.
// FUSE_DRIVER_REFUSES_DEAD=yes: NodeUnpublishVolume fails, with the code of FUSE_DRIVER_REFUSES, where the mount at the target does not answer.
// FUSE_DRIVER_UNABLE=CODE: the first NodeGetCapabilities fails with that code.
import { status } from '@grpc/grpc-js'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { NodeServiceCapability_RPC_Type as Rpc } from '../../src/rpc/csi_pb.ts'
import { type Handler, isDead, isMounted, Refusal, run, serveNode } from './driver-server.ts'

interface Request {
  readonly targetPath: string
  readonly stagingTargetPath: string
  readonly volumeCapability?: {
    readonly accessType: { readonly value?: { readonly mountFlags: readonly string[] } }
  }
}

const [socket = '', program = '', ...words] = process.argv.slice(2)
const {
  FUSE_DRIVER_REFUSES: refuses = 'INVALID_ARGUMENT',
  FUSE_DRIVER_STAGES: stages,
  FUSE_DRIVER_AT: at,
  FUSE_DRIVER_BY: by,
  FUSE_DRIVER_LATE: late,
  FUSE_DRIVER_INTO: into = '',
  FUSE_DRIVER_REFUSES_DEAD: refusesDead,
  FUSE_DRIVER_UNABLE: unable,
} = process.env

/** Targets whose mount does not stand yet. */
const bare = new Set<string>()

const capabilities = [Rpc.GET_VOLUME_HEALTH, ...(stages === 'yes' ? [Rpc.STAGE_UNSTAGE_VOLUME] : [])]
let mounted = false
let asked = false

function mountAt(path: string): void {
  if (by === 'unshare') {
    const keep = 'at=$1; shift; "$@" && mount --make-rprivate / && mount --bind "$at" /mnt'
    run('unshare', '--mount', '--propagation', 'unchanged', '--', 'sh', '-c', keep, 'sh', path, program, ...words, path)
  } else if (by === 'systemd') run('systemd-run', '--quiet', '--collect', '--service-type=forking', '--', program, ...words, path)
  else run(program, ...words, path)
}

function codeOf(name: string): status {
  return status[name as keyof typeof status]
}

function mountOnce(path: string): void {
  if (!mounted) {
    mkdirSync(path, { recursive: true })
    mountAt(path)
    mounted = true
  }
  if (isDead(path)) run('umount', '-l', path)
}

function mountLate(): void {
  for (const target of bare) {
    if (readdirSync(target).length === 0) continue
    bare.delete(target)
    try {
      const pods = podsWith(target)
      run(program, ...words, target)
      for (const pid of pods) run(into, target, pid, '/mnt')
    } catch (error) {
      process.stderr.write(`${String(error)}\n`)
    }
  }
}

/** The processes that have a folder of the node at /mnt: the fourth field of mountinfo is its path on the kubelet's own file system. */
function podsWith(target: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      const mounts = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n') : []
      const fields = mounts.map((line) => line.split(' ')).findLast(([, , , , path]) => path === '/mnt')
      return fields?.[3] !== undefined && fields[3] !== '/' && target.endsWith(fields[3])
    } catch {
      return false
    }
  })
}

const handlers: Readonly<Record<string, Handler<Request>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => {
    const isFirst = !asked
    asked = true
    if (isFirst && unable !== undefined) throw new Refusal(codeOf(unable), 'not yet')
    return { capabilities: capabilities.map((type) => ({ type: { case: 'rpc', value: { type } } })) }
  },
  nodeStageVolume: ({ stagingTargetPath }) => {
    mountAt(stagingTargetPath)
    return {}
  },
  nodePublishVolume: ({ targetPath, stagingTargetPath, volumeCapability }) => {
    const unknown = volumeCapability?.accessType.value?.mountFlags.find((flag) => flag !== 'noatime')
    if (unknown !== undefined) throw new Refusal(codeOf(refuses), `fuse: unknown option '${unknown}'`)
    mkdirSync(targetPath, { recursive: true })
    if (at !== undefined) {
      mountOnce(at)
      run('mount', '--bind', at, targetPath)
    } else if (stages === 'yes') run('mount', '--bind', stagingTargetPath, targetPath)
    else if (late !== undefined && existsSync(late)) bare.add(targetPath)
    else mountAt(targetPath)
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    bare.delete(targetPath)
    if (refusesDead === 'yes' && isDead(targetPath)) throw new Refusal(codeOf(refuses), `${targetPath} does not answer`)
    if (isMounted(targetPath)) run('umount', '-l', targetPath)
    rmSync(targetPath, { recursive: true })
    return {}
  },
  nodeUnstageVolume: ({ stagingTargetPath }) => {
    run('umount', '-l', stagingTargetPath)
    return {}
  },
}

setInterval(mountLate, 100)
serveNode<Request>('fuse-driver', socket, handlers)
