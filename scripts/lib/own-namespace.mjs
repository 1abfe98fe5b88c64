// Imported into each process of a test file (node --import): the file runs in namespaces of its own, by scripts/lib/in-namespace.
import { fileURLToPath } from 'node:url'

const INSIDE = 'TEST_FILE_NAMESPACE'

if (process.env.NODE_TEST_CONTEXT !== undefined && process.env[INSIDE] === undefined) {
  const script = fileURLToPath(new URL('in-namespace', import.meta.url))
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve(script, ['in-namespace', ...command], { ...process.env, [INSIDE]: '1' })
}
