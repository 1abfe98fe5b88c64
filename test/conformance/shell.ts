import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import type { Result } from '../support/sandbox.ts'
import type { SharedMount } from '../support/shared-mount.ts'
import type { ShellCase } from './programs.ts'

/** Runs a script that has the mount point in $m, its file in $f, and an empty working directory; by words before sh(1) if there are some. */
export async function shell({ sandbox, path }: SharedMount, script: string, before: readonly string[] = []): Promise<Result> {
  const args = [...before, 'sh', '-c', `m=$1 f=$1/dummy-file.txt\n${script}`, 'sh', path]
  const cwd = mkdtempSync(join(sandbox.path, 'work-'))
  return await sandbox.run('env', args, { cwd, env: { ...process.env, LC_ALL: 'C', TZ: 'UTC', TMPDIR: cwd } })
}

/** Declares an it() for each case of a table. */
export function shellCases(table: Readonly<Record<string, ShellCase>>, mounted: () => SharedMount): void {
  for (const [title, { script, prints, status = 0 }] of Object.entries(table)) {
    it(title, async () => {
      const result = await shell(mounted(), script)
      assert.deepEqual([result.stdout + result.stderr, result.status], [prints, status])
    })
  }
}
