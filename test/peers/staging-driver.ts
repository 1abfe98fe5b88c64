// A CSI node plugin that stages each volume as a FUSE mount, by a dummy-fuse in the background, and binds it for pods. It never looks whether a mount
// answers: after the death of a session new pods get the dead mount too, until the last pod has left and the volume is unstaged (as k8s-csi-s3).
// Started as `node staging-driver.ts SOCKET DUMMY-FUSE`.
// LEAVES=target: NodeUnpublishVolume fails for a target folder that has files in it (as seaweedfs).
// LEAVES=staging: NodeUnstageVolume fails where nothing is mounted at the staging path (as blob-csi).
// LEAVES=late: NodeUnpublishVolume answers ABORTED five times first, as if another call for the volume were under way.
// LEAVES=/a/folder: the FUSE mount is in that folder, is taken as it is if there is one, and stays there (as juicefs with /var/lib/jfs).
// HEALS=yes: it mounts again where its session is dead, and unmounts each target and binds it again (as seaweedfs). In between the target is the bare folder
// of the node, until a consumer has written into that.
import { status } from '@grpc/grpc-js'
import { mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { type Handler, isDead, isMounted, Refusal, run, serveNode, STAGES } from './driver-server.ts'

interface Request {
  readonly stagingTargetPath: string
  readonly targetPath: string
}

const [socket = '', dummyFuse = ''] = process.argv.slice(2)
const { LEAVES = '', HEALS } = process.env
const outside = LEAVES.startsWith('/') ? LEAVES : undefined

/** Where the session is mounted; undefined if it is not. */
let session: string | undefined

/** What a target is: a bind of the session, or the bare folder of the node. */
const targets = new Map<string, 'bound' | 'bare'>()

/** How often NodeUnpublishVolume was called for each target. */
const unpublished = new Map<string, number>()

function heal(): void {
  if (session === undefined) return
  if (isDead(session)) {
    run('umount', '-c', '-l', session)
    run(dummyFuse, session)
    for (const target of targets.keys()) {
      run('umount', '-c', '-l', target)
      targets.set(target, 'bare')
    }
  }
  for (const [target, is] of targets) {
    if (is === 'bound' || readdirSync(target).length === 0) continue
    run('mount', '-c', '--bind', session, target)
    targets.set(target, 'bound')
  }
}

const node: Readonly<Record<string, Handler<Request>>> = {
  ...STAGES,
  nodeStageVolume: ({ stagingTargetPath }) => {
    const at = outside ?? stagingTargetPath
    if (!isMounted(at)) run(dummyFuse, at)
    session = at
    return {}
  },
  nodePublishVolume: ({ stagingTargetPath, targetPath }) => {
    mkdirSync(targetPath, { recursive: true })
    run('mount', '-c', '--bind', outside ?? stagingTargetPath, targetPath)
    targets.set(targetPath, 'bound')
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    const asked = (unpublished.get(targetPath) ?? 0) + 1
    unpublished.set(targetPath, asked)
    targets.delete(targetPath)
    if (LEAVES === 'late' && asked <= 5) throw new Refusal(status.ABORTED, 'another call is under way')
    if (isMounted(targetPath)) run('umount', '-c', '-l', targetPath)
    if (LEAVES === 'target') rmdirSync(targetPath)
    else rmSync(targetPath, { recursive: true, force: true })
    return {}
  },
  nodeUnstageVolume: ({ stagingTargetPath }) => {
    session = undefined
    if (LEAVES === 'staging' || isMounted(stagingTargetPath)) run('umount', '-c', '-l', stagingTargetPath)
    return {}
  },
}

if (HEALS === 'yes') setInterval(heal, 100)
serveNode<Request>('staging-driver', socket, node)
