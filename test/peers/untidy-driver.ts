// A CSI node plugin that writes where nobody expects it: /tmp/untidy.conf with a key, /var/cache/untidy, /var/lib/untidy and /mnt. It listens on a port
// of its own, and ends at once where it finds that another one has written or listens there. It deletes the file that UNTIDY_DELETES names. It logs to the
// file that UNTIDY_LOG names, and to no other.
// Volumes are tmpfs with one file, mounted at the staging path and bound to each target. Where staging was unmounted, a pod gets the bare staging folder.
// When something is written into that, the driver deletes it, makes it anew and mounts there.
// Started as `node untidy-driver.ts SOCKET`.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { BINDS_STAGED, type Handler, isMounted, run, serveNode, STAGES } from './driver-server.ts'

interface Request {
  readonly stagingTargetPath: string
  readonly targetPath: string
}

const [socket = ''] = process.argv.slice(2)
const { UNTIDY_DELETES: deletes, UNTIDY_LOG: log } = process.env
const PORT = 4711
const CONF = '/tmp/untidy.conf'
const KEY = 'MARKED-c0ffee-SECRET'
let staging: string | undefined

function mountAt(path: string): void {
  run('mount', '-t', 'tmpfs', 'untidy', path)
  writeFileSync(join(path, 'file'), 'content')
}

/** Cleans a bare staging folder as some drivers do, whoever uses it. */
function heal(): void {
  if (staging === undefined || isMounted(staging) || readdirSync(staging).length === 0) return
  rmSync(staging, { recursive: true })
  mkdirSync(staging)
  mountAt(staging)
}

const handlers: Readonly<Record<string, Handler<Request>>> = {
  ...STAGES,
  ...BINDS_STAGED,
  nodeStageVolume: ({ stagingTargetPath }) => {
    mountAt(stagingTargetPath)
    staging = stagingTargetPath
    return {}
  },
  nodeUnstageVolume: ({ stagingTargetPath }) => {
    staging = undefined
    run('umount', stagingTargetPath)
    return {}
  },
}

if (existsSync(CONF)) throw new Error(`another one has written ${CONF}`)
writeFileSync(CONF, `secret_key = ${KEY}\n`)
mkdirSync('/var/cache/untidy')
for (let index = 0; index < 20; index++) writeFileSync(`/var/cache/untidy/block-${String(index).padStart(2, '0')}`, 'x')
mkdirSync('/var/lib/untidy')
if (log !== undefined) writeFileSync(log, `starts with ${KEY}\n`)
writeFileSync('/mnt/untidy', '')
if (deletes !== undefined) rmSync(deletes)
createServer().listen(PORT, '127.0.0.1', () => {
  serveNode<Request>('untidy-driver', socket, handlers)
})
setInterval(heal, 100)
