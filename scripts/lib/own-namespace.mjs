// Imported into each process of a test file (node --import): the file runs in a mount namespace of its own, so that no program of
// another file has copies of its mounts. What it leaves mounted is noted in the folder LEFT_MOUNTS.
import { fileURLToPath } from 'node:url'

const INSIDE = 'TEST_FILE_NAMESPACE'

if (process.env.NODE_TEST_CONTEXT !== undefined && process.env[INSIDE] === undefined) {
  const script = fileURLToPath(new URL('in-namespace', import.meta.url))
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const args = ['unshare', '--mount', '--propagation', 'private', '--', script, ...command]
  process.execve('/usr/bin/unshare', args, { ...process.env, [INSIDE]: '1' })
}
