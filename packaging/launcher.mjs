// Assembles src/keeper/launcher.s with as(1) and objcopy(1) of binutils, which the build needs for strip(1) as well.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'

/** Writes the launcher, a whole ELF file, to `output`. Throws Error if as(1) or objcopy(1) is missing or refuses the source. */
export function assembleLauncher(root, output) {
  const object = `${output}.o`
  try {
    execFileSync('as', ['--64', '--fatal-warnings', '-o', object, join(root, 'src/keeper/launcher.s')], { stdio: 'inherit' })
    execFileSync('objcopy', ['--output-target=binary', '--only-section=.text', object, output], { stdio: 'inherit' })
  } finally {
    rmSync(object, { force: true })
  }
}
