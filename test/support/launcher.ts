import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** keep's launcher, assembled as the build does it. */
export function launcherImage(sandbox: Sandbox): Buffer {
  const file = join(sandbox.path, 'keep-launcher')
  execFileSync(process.execPath, [join(ROOT, 'packaging/launcher.mjs'), file], { stdio: ['ignore', 'ignore', 'inherit'] })
  return readFileSync(file)
}
