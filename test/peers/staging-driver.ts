// A CSI node plugin that stages each volume as a FUSE mount, by a dummy-fuse in the background, and binds it for pods. It never looks whether a mount
// answers: after the death of a session new pods get the dead mount too, until the last pod has left and the volume is unstaged (as k8s-csi-s3).
// Started as `node staging-driver.ts SOCKET DUMMY-FUSE`.
// LEAVES=target: NodeUnpublishVolume fails for a target folder that has files in it (as seaweedfs).
// LEAVES=staging: NodeUnstageVolume fails where nothing is mounted at the staging path (as blob-csi).
// LEAVES=late: NodeUnpublishVolume answers ABORTED five times first, as if another call for the volume were under way.
// LEAVES=/a/folder: the FUSE mount is in that folder, is taken as it is if there is one, and stays there (as juicefs with /var/lib/jfs).
import { status } from '@grpc/grpc-js'
import { mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { type Handler, isMounted, Refusal, run, serveNode, STAGES } from './driver-server.ts'

interface Request {
  readonly stagingTargetPath: string
  readonly targetPath: string
}

const [socket = '', dummyFuse = ''] = process.argv.slice(2)
const { LEAVES = '' } = process.env
const outside = LEAVES.startsWith('/') ? LEAVES : undefined

/** How often NodeUnpublishVolume was called for each target. */
const unpublished = new Map<string, number>()

const node: Readonly<Record<string, Handler<Request>>> = {
  ...STAGES,
  nodeStageVolume: ({ stagingTargetPath }) => {
    const at = outside ?? stagingTargetPath
    if (!isMounted(at)) run(dummyFuse, at)
    return {}
  },
  nodePublishVolume: ({ stagingTargetPath, targetPath }) => {
    mkdirSync(targetPath, { recursive: true })
    run('mount', '-c', '--bind', outside ?? stagingTargetPath, targetPath)
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    const asked = (unpublished.get(targetPath) ?? 0) + 1
    unpublished.set(targetPath, asked)
    if (LEAVES === 'late' && asked <= 5) throw new Refusal(status.ABORTED, 'another call is under way')
    if (isMounted(targetPath)) run('umount', '-c', '-l', targetPath)
    if (LEAVES === 'target') rmdirSync(targetPath)
    else rmSync(targetPath, { recursive: true, force: true })
    return {}
  },
  nodeUnstageVolume: ({ stagingTargetPath }) => {
    if (LEAVES === 'staging' || isMounted(stagingTargetPath)) run('umount', '-c', '-l', stagingTargetPath)
    return {}
  },
}

serveNode<Request>('staging-driver', socket, node)
