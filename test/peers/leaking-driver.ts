// A CSI node plugin that keeps no secret: it logs its requests as they are, and names a password in the source of its mounts. Volumes are
// tmpfs with one file. Started as `node leaking-driver.ts SOCKET`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BINDS_STAGED, type Handler, run, serveNode, STAGES } from './driver-server.ts'

interface Request {
  readonly stagingTargetPath: string
  readonly targetPath: string
  readonly secrets: Readonly<Record<string, string>>
}

const handlers: Readonly<Record<string, Handler<Request>>> = {
  ...STAGES,
  ...BINDS_STAGED,
  nodeStageVolume: ({ stagingTargetPath, secrets }) => {
    run('mount', '-t', 'tmpfs', `//server/${secrets.password ?? ''}`, stagingTargetPath)
    writeFileSync(join(stagingTargetPath, 'file'), 'content')
    return {}
  },
  nodeUnstageVolume: ({ stagingTargetPath }) => {
    run('umount', stagingTargetPath)
    return {}
  },
}

const [socket = ''] = process.argv.slice(2)
serveNode<Request>('leaking-driver', socket, handlers, (_method, request) => process.stderr.write(`${JSON.stringify(request)}\n`))
