// Assembles a launcher with as(1) and objcopy(1) of binutils, which the build needs for strip(1) as well. Arguments: its source below src (LAUNCHERS in
// src/os/processes/launcher.ts), and the file to write, a whole ELF file.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'

const [, , source, output] = process.argv
const folder = join(import.meta.dirname, '../src')
const object = `${output}.o`
try {
  const included = join(folder, 'os/processes')
  execFileSync('as', ['--64', '--fatal-warnings', '-I', included, '-o', object, join(folder, source)], { stdio: 'inherit' })
  execFileSync('objcopy', ['--output-target=binary', '--only-section=.text', object, output], { stdio: 'inherit' })
} finally {
  rmSync(object, { force: true })
}
