import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { basename, join } from 'node:path'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { randomHex } from '../../src/os/random.ts'
import { ROOT } from './paths.ts'

const run = promisify(execFile)

/** Where compiled C programs are kept from one run to the next, named by what they are made of. */
const COMPILED = join(ROOT, '.cache/c')

/** How a C program is to be compiled. */
export interface CompileOptions {
  /** Without any library of the machine it runs on. */
  readonly static?: boolean
  /** A library that other programs preload, in place of a program. */
  readonly shared?: boolean
  /** What pkg-config knows the libraries by that it needs. */
  readonly packages?: readonly string[]
}

/** Compiles one C file of the checkout, unless that has been done, and returns the program's path. Rejects with the compiler's words. */
export async function compileC(
  source: string,
  { static: linked = false, shared = false, packages = [] }: CompileOptions = {},
): Promise<string> {
  const kind = [...(linked ? ['-static'] : []), ...(shared ? ['-shared', '-fPIC'] : [])]
  const flags = ['-O2', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-pthread', ...kind]
  const libraries = packages.length === 0 ? [] : (await output('pkg-config', ['--cflags', '--libs', ...packages])).split(/\s+/)
  const args = [...flags, source, ...libraries.filter(Boolean)]
  const hash = createHash('sha256').update(readFileSync(source)).update(args.join('\0')).digest('hex').slice(0, 12)
  const program = join(COMPILED, `${basename(source, '.c')}-${hash}`)
  if (existsSync(program)) return program
  mkdirSync(COMPILED, { recursive: true })
  // Tests of one process, and other processes, may compile it at the same time.
  const partial = `${program}.${randomHex(8)}`
  await output('gcc', ['-o', partial, ...args])
  renameSync(partial, program)
  return program
}

async function output(file: string, args: readonly string[]): Promise<string> {
  try {
    return (await run(file, args)).stdout
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new Error(`${file} is missing; scripts/test --setup-only or scripts/bench installs it`, { cause: error })
    }
    throw error
  }
}
