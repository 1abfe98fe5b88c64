import assert from 'node:assert/strict'
import type { Sandbox } from './sandbox.ts'

const PRELUDE = `
import errno, json, os, stat, sys
path, file = sys.argv[1], sys.argv[1] + '/dummy-file.txt'
def outcome(act):
    try:
        act()
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
`

/**
 * Runs Python that has the mount point in `path`, its file in `file`, `outcome(act)` for the errno's name or `done`, and prints JSON; gives
 * what it printed. In a process of its own, because a system call that hangs would take the test runner along.
 */
export async function python(sandbox: Sandbox, path: string, code: string): Promise<unknown> {
  const { status, stdout, stderr } = await sandbox.run('python3', ['-c', PRELUDE + code, path], { timeout: 20_000 })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}
