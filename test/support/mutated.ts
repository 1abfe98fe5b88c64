import assert from 'node:assert/strict'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** A place of our source that is to be another one; `from` is there once. */
export interface SourceMutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** A copy of our source with one place changed; returns its main module. */
export function mutated(sandbox: Sandbox, { file, from, to }: SourceMutation): string {
  const root = sandbox.directory('mutated')
  cpSync(join(ROOT, 'src'), join(root, 'src'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(root, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  const path = join(root, file)
  const text = readFileSync(path, 'utf8')
  assert.equal(text.split(from).length, 2, `${file} has '${from}' not just once`)
  writeFileSync(path, text.replace(from, to))
  return join(root, 'src/main.ts')
}
