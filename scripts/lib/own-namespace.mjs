// Imported into each process of a test file (node --import): the file runs in namespaces of its own, by scripts/lib/in-namespace.
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const INSIDE = 'TEST_FILE_NAMESPACE'

const { TEST_COMPILE_CACHE: cache } = process.env

if (process.env.NODE_TEST_CONTEXT !== undefined && process.env[INSIDE] === undefined) {
  const script = fileURLToPath(new URL('in-namespace', import.meta.url))
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve(script, ['in-namespace', ...command], { ...process.env, [INSIDE]: '1' })
}

// Most files import the same modules. The programs that a test starts have no part in it.
if (process.env[INSIDE] !== undefined && cache !== undefined) enableCompileCache(cache)
