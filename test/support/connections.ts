import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Sandbox } from './sandbox.ts'

/** Aborts a FUSE connection, as an administrator does by fusectl (Documentation/filesystems/fuse/fuse.rst). */
export async function abortConnection(sandbox: Sandbox, connection: number | string): Promise<void> {
  const connections = sandbox.directory('connections')
  assert.equal((await sandbox.run('mount', ['-t', 'fusectl', 'none', connections])).status, 0)
  writeFileSync(join(connections, String(connection), 'abort'), '1')
}
