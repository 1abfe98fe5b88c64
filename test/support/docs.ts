import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ROOT } from './paths.ts'
import PROGRAM_NAMES from '../../packaging/names.json' with { type: 'json' }

/** A page of documentation in Markdown. `name` is its path below the checkout. */
export interface Page {
  readonly name: string
  readonly text: string
}

/** Where the files lie that pages name by a path that is relative to something else than the checkout. */
const FOLDERS = ['', 'src', 'systemd']

/** A path below the checkout, in a code span: with a slash, or a file of the checkout by its ending. */
const PATH = /^[\w.@*-]+(\/[\w.@*-]*)+$|^[\w.@*-]+\.(ts|mjs|md|c|proto|service|socket)$/

/** How a path begins in a block of commands. */
const PATH_OF_COMMAND = /^(scripts|dist|src|test|docs|bench|systemd|packaging|proto|\.cache)\//

/** Units that are other projects'. */
const FOREIGN_UNITS = new Set(['kubelet.service', 'modprobe@fuse.service'])

/** Variables that CI sets for its steps. */
const FOREIGN_VARIABLES = new Set(['GITHUB_STEP_SUMMARY'])

/** Flags of other programs that pages name without the program: by the file that passes or defines them. */
const OTHER_FLAGS: Readonly<Record<string, string>> = {
  '--disable-sigusr1': 'build.mjs',
  '--predictable': 'build.mjs',
  '--mode': 'bench/peers/reader.c',
  '--in-process': 'bench/peers/reader.c',
}

/** Variables of Node that no source of ours names. */
const VARIABLES_OF_NODE = new Set(['NODE_EXTRA_CA_CERTS', 'NODE_V8_COVERAGE'])

/** Packages that docs/dependencies.md names because they are not used. */
const REFUSED_PACKAGES = ['@grpc/reflection']

/** Names of the executable that choose a program, and the argument of dummy-fuse-csi that chooses the same. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'dummy-fuse-csi': [],
  'dummy-fuse': ['fuse'],
  'dummy-fused': ['fused'],
  'dummy-fuse-workload': ['workload'],
}

/** What the sources of a name or a variable are searched in. */
const SOURCES = ['src/**/*.ts', 'proto/*', 'systemd/*', 'scripts/**/*', 'bench/**/*', 'test/**/*.ts', 'build.mjs']
const NOT_SOURCES = ['test/unit/docs.test.ts', 'test/support/docs.ts']

/** The README and every page of docs/. */
export function pages(): readonly Page[] {
  return ['README.md', ...globSync('docs/*.md', { cwd: ROOT }).sort()].map((name) => ({
    name,
    text: readFileSync(join(ROOT, name), 'utf8'),
  }))
}

/**
 * Finds what pages name and the checkout does not have: paths, links and their headings, programs, flags and environment variables. A flag is looked for in
 * the help of the program that stands before it, which commander makes of the program's option table; a flag that stands alone in any of them.
 */
export class NameCheck {
  readonly #helps = new Map<string, string | undefined>()
  readonly #sources = globSync(SOURCES, { cwd: ROOT })
    .filter((file) => statSync(join(ROOT, file)).isFile() && !NOT_SOURCES.includes(file))
    .map((file) => readFileSync(join(ROOT, file), 'utf8'))
    .join('\n')
  readonly #pages: ReadonlyMap<string, string>

  /** `all`: the pages that links may lead to. */
  constructor(all: readonly Page[]) {
    this.#pages = new Map(all.map(({ name, text }) => [name, text]))
  }

  /** Each problem once, as a line that names the page. */
  problems({ name, text }: Page): readonly string[] {
    const { prose, blocks } = split(text)
    const spans = [...prose.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span.replaceAll('\\|', '|'))
    const lines = blocks.flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
    const words = lines.flatMap((line) => tokens(line))
    const paths = [...spans.filter((span) => PATH.test(span)), ...words.filter((word) => PATH_OF_COMMAND.test(word))]
    const found = [
      ...paths.filter((path) => !this.#exists(path)).map((path) => `no path ${path}`),
      ...[...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => this.#link(name, link)),
      ...[...spans, ...lines].flatMap((command) => this.#command(command)),
      ...spans.filter((span) => /^--[a-z]/.test(span)).flatMap((span) => this.#loneFlags(span)),
      ...[...spans, ...lines].flatMap((one) => this.#variables(one)),
      ...spans.flatMap((span) => this.#constant(span)),
    ]
    return [...new Set(found)].map((problem) => `${name}: ${problem}`)
  }

  #exists(path: string): boolean {
    if (FOREIGN_UNITS.has(path)) return true
    if (path.startsWith('@')) return this.#packages().includes(path)
    const [, folder, built = ''] = /^(dist|\.cache\/bin)\/([\w.-]+)$/.exec(path) ?? []
    if (folder === 'dist') return PROGRAM_NAMES.includes(built) || read('build.mjs').includes(`'${built}'`)
    if (folder !== undefined) return globSync('scripts/lib/*.sh', { cwd: ROOT }).some((file) => read(file).includes(built))
    return FOLDERS.some((one) => {
      const at = join(ROOT, one, path)
      return path.includes('*') ? globSync(at).length > 0 : existsSync(at)
    })
  }

  #packages(): readonly string[] {
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, object>
    return [...Object.keys(dependencies ?? {}), ...Object.keys(devDependencies ?? {}), ...REFUSED_PACKAGES]
  }

  #link(from: string, link: string): readonly string[] {
    if (/^https?:/.test(link)) return []
    const [file = '', heading] = link.split('#')
    const target = file === '' ? from : join(dirname(from), file)
    const text = this.#pages.get(target)
    if (text === undefined) return existsSync(join(ROOT, target)) ? [] : [`no page ${link}`]
    return heading === undefined || headings(text).includes(heading) ? [] : [`no heading ${link}`]
  }

  /** The programs of ours in a command line, each with the flags that follow it. */
  #command(line: string): readonly string[] {
    const problems: string[] = []
    let program: readonly string[] | undefined
    const all = tokens(line)
    for (const [index, word] of all.entries()) {
      const named = programOf(word, index === 0)
      if (named !== undefined) {
        program = named
        if (this.#help(program) === undefined) problems.push(`no program ${word}`)
      } else if (/^(\||&&?|;|#|--)$/.test(word)) program = undefined
      else if (program !== undefined && takesSubcommand(program) && /^[a-z][a-z-]*$/.test(word)) {
        program = [...program, word]
        if (this.#help(program) === undefined) problems.push(`no program ${program.join(' ')}`)
      } else if (program !== undefined) {
        const [flag] = /^--[a-z][a-z0-9-]*/.exec(word) ?? []
        if (flag !== undefined && !this.#flags(program).has(flag)) problems.push(`${program.join(' ')} has no ${flag}`)
      }
    }
    return problems
  }

  #loneFlags(span: string): readonly string[] {
    const [flag = ''] = /^--[a-z][a-z0-9-]*/.exec(span) ?? []
    const other = OTHER_FLAGS[flag]
    if (other !== undefined && (read(other).includes(flag) || read(other).includes(`"${flag.slice(2)}"`))) return []
    return this.#allPrograms().some((program) => this.#flags(program).has(flag)) ? [] : [`no program has ${flag}`]
  }

  /** Every program that has a help: those of the executable, and the scripts. */
  #allPrograms(): readonly (readonly string[])[] {
    const overview = this.#help(['dummy-fuse-csi']) ?? ''
    const names = [...overview.slice(overview.indexOf('Programs:')).matchAll(/^ {2}([a-z-]+) /gm)].map(([, name = '']) => name)
    const ofLab = ['lab run', 'lab report', 'lab mount', 'lab driver check', 'lab driver init', 'lab-consumer']
    const ofShield = ['shield status', 'shield stop', 'shield upgrade']
    const programs = [...names, ...ofLab, ...ofShield].map((name) => ['dummy-fuse-csi', ...name.split(' ')])
    return [...programs, ...globSync('scripts/*', { cwd: ROOT }).flatMap((file) => (file === 'scripts/lib' ? [] : [[file]]))]
  }

  #flags(program: readonly string[]): ReadonlySet<string> {
    const help = this.#help(program) ?? ''
    const usage = program[0]?.startsWith('scripts/') === true ? help.matchAll(/^(?:Usage:| {7}scripts).*$/gm) : []
    const inUsage = [...usage].flatMap(([line]) => line.match(/--[a-z][a-z0-9-]*/g) ?? [])
    return new Set([...help.matchAll(/^ +(?:-\w, )?(--[a-z][a-z0-9-]*)/gm)].map(([, flag = '']) => flag).concat(inUsage, '--help'))
  }

  /** What `--help` prints; undefined for a program that there is not. */
  #help(program: readonly string[]): string | undefined {
    const key = program.join(' ')
    if (!this.#helps.has(key)) this.#helps.set(key, runHelp(program))
    return this.#helps.get(key)
  }

  #variables(text: string): readonly string[] {
    const names = [...text.matchAll(/\$\{?([A-Z][A-Z0-9_]+)|\b(DUMMY_[A-Z0-9_]+)/g)].map(([, one, other]) => one ?? other ?? '')
    return names
      .filter(
        (name) =>
          !FOREIGN_VARIABLES.has(name) && !new RegExp(`\\benv\\.${name}\\b|'${name}'|\\$\\{?${name}\\b`).test(this.#sources),
      )
      .map((name) => `nothing reads the variable ${name}`)
  }

  /** A variable, a constant or an assignment of sd_notify(3) by its name alone. */
  #constant(span: string): readonly string[] {
    const [, name] = /^([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)(?:=\S*)?$/.exec(span) ?? []
    if (name === undefined || VARIABLES_OF_NODE.has(name) || new RegExp(`\\b${name}\\b`).test(this.#sources)) return []
    return [`no source has ${name}`]
  }
}

/** The text outside of blocks of code, and these. */
function split(text: string): { readonly prose: string; readonly blocks: readonly string[] } {
  const blocks: string[] = []
  const prose = text.replace(/^ *```.*\n([^]*?)^ *```$/gm, (_, block: string) => {
    blocks.push(block)
    return ''
  })
  return { prose, blocks }
}

/** Words of a command line without quotes and the brackets of a usage. `;` stands for the end of a part of a sentence, where a command ends. */
function tokens(line: string): readonly string[] {
  return line
    .replace(/[:;,](?=\s)/g, ' ; ')
    .split(/\s+/)
    .map((word) => (word === ';' ? word : word.replace(/^[["'(]+|[\]"'),.:;…]+$/g, '')))
    .filter((word) => word !== '')
}

/** The program that a word of a command line names. A page leaves `dummy-fuse-csi` out before serve, lab, keep and shield. */
function programOf(word: string, first: boolean): readonly string[] | undefined {
  const name = word.replace(/^dist\/|^\/usr\/local\/bin\//, '')
  if (Object.hasOwn(NAMES, name)) return name === 'dummy-fuse-csi' ? [name] : ['dummy-fuse-csi', ...(NAMES[name] ?? [])]
  if (/^scripts\/[a-z]+$/.test(name) && existsSync(join(ROOT, name))) return [name]
  return first && /^(serve|lab|keep|shield)$/.test(word) ? ['dummy-fuse-csi', word] : undefined
}

function takesSubcommand(program: readonly string[]): boolean {
  return ['dummy-fuse-csi', 'dummy-fuse-csi lab', 'dummy-fuse-csi lab driver', 'dummy-fuse-csi shield'].includes(program.join(' '))
}

function runHelp([name = '', ...words]: readonly string[]): string | undefined {
  const command: readonly [string, readonly string[]] = name.startsWith('scripts/')
    ? [join(ROOT, name), ['--help']]
    : [process.execPath, [join(ROOT, 'src/main.ts'), ...words, '--help']]
  // Each program imports much of the same sources: scripts/test gives a folder for what is compiled of them.
  const { TEST_COMPILE_CACHE: cache } = process.env
  const env = { ...process.env, ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }) }
  const { status, stdout } = spawnSync(command[0], command[1], { argv0: name, encoding: 'utf8', cwd: ROOT, env })
  return status === 0 ? stdout : undefined
}

/** The anchors of a page's headings, as GitHub makes them. */
function headings(text: string): readonly string[] {
  return [...split(text).prose.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}
