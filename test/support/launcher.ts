import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LAUNCHERS } from '../../src/os/processes/launcher.ts'
import { ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** The launcher of a program, assembled as the build does it. */
export function launcherImage(sandbox: Sandbox, of: keyof typeof LAUNCHERS): Buffer {
  const { asset, source } = LAUNCHERS[of]
  const file = join(sandbox.path, asset)
  execFileSync(process.execPath, [join(ROOT, 'packaging/launcher.mjs'), source, file], { stdio: ['ignore', 'ignore', 'inherit'] })
  return readFileSync(file)
}
