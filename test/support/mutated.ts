import assert from 'node:assert/strict'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EXECUTABLE, ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** A place of our source that is to be another one; `from` is there once. */
export interface SourceMutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

/**
 * A copy of the plugin's source with one place changed. Returns the lines of a shell script that run it; what follows them are further arguments. Its daemons are
 * the executable's, and what it is compiled to is kept from a first start on: from its source it takes several times as long to start, and a call of the
 * lab has few seconds.
 */
export async function mutatedPlugin(sandbox: Sandbox, { file, from, to }: SourceMutation): Promise<string> {
  const root = sandbox.directory('mutated')
  cpSync(join(ROOT, 'src'), join(root, 'src'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(root, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  const path = join(root, file)
  const text = readFileSync(path, 'utf8')
  assert.equal(text.split(from).length, 2, `${file} has '${from}' not just once`)
  writeFileSync(path, text.replace(from, to))
  const start = join(root, 'src/start.ts')
  writeFileSync(
    start,
    `const { argv0, argv } = process
if (argv0 !== 'dummy-fuse-csi') process.execve(${JSON.stringify(EXECUTABLE)}, [argv0, ...argv.slice(2)], process.env)
await import('./main.ts')`,
  )
  const run = `export NODE_COMPILE_CACHE=${sandbox.path}/compiled\nexec -a dummy-fuse-csi ${process.execPath} ${start}`
  const { status, stderr } = await sandbox.run('bash', ['-c', `${run} serve --version`])
  assert.equal(status, 0, stderr)
  return run
}
