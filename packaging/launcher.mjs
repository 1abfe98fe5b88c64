// Assembles src/keeper/launcher.s with as(1) and objcopy(1) of binutils, which the build needs for strip(1) as well. Argument: the file to write, a whole
// ELF file.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'

const source = join(import.meta.dirname, '../src/keeper/launcher.s')
const [, , output] = process.argv
const object = `${output}.o`
try {
  execFileSync('as', ['--64', '--fatal-warnings', '-o', object, source], { stdio: 'inherit' })
  execFileSync('objcopy', ['--output-target=binary', '--only-section=.text', object, output], { stdio: 'inherit' })
} finally {
  rmSync(object, { force: true })
}
