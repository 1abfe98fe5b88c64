import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, it } from 'node:test'
import ts from 'typescript'
import { ROOT } from './support/paths.ts'

/**
 * What each part of src may import of ours, itself apart: folders, or single files.
 * docs/architecture.md has the same table for people.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'boot.ts': ['os/bundled.ts'],
  'boot-thread.ts': ['os/bundled.ts'],
  'main.ts': ['programs', 'os/processes/process-name.ts', 'os/descriptors/undecoded.ts'],
  programs: [
    'csi',
    'fused',
    'grpc',
    'volumes',
    'hosts',
    'fuse',
    'dummyfs',
    'workload',
    'lab',
    'keeper',
    'kubelet',
    'kubernetes',
    'metrics',
    'program-file',
    'restarter',
    'sd',
    'shield',
    'holder',
    'os',
    'rpc',
    'version.ts',
  ],
  csi: ['volumes', 'rpc', 'grpc'],
  volumes: ['hosts/host.ts', 'os'],
  hosts: ['program-file', 'rpc', 'grpc', 'os'],
  'program-file': ['os/mounts/mount-flags.ts'],
  'fuse/protocol': [],
  'fuse/filesystem.ts': ['fuse/protocol'],
  'fuse/backend.ts': ['fuse/filesystem.ts'],
  'fuse/mount-option-rules.ts': ['os/mounts/mount-flags.ts'],
  'fuse/session': ['fuse/mount-option-rules.ts', 'fuse/protocol', 'fuse/filesystem.ts', 'fuse/backend.ts', 'os'],
  fused: ['fuse/mount-option-rules.ts', 'fuse/protocol', 'fuse/session', 'grpc', 'sd', 'os', 'rpc'],
  grpc: ['rpc', 'os/sockets/listening-socket.ts', 'os/rate-limited-log.ts'],
  'fuse/native': ['fuse/mount-option-rules.ts', 'fuse/filesystem.ts', 'fuse/backend.ts', 'os'],
  dummyfs: ['fuse/filesystem.ts'],
  workload: [],
  keeper: ['sd', 'os'],
  kubelet: ['grpc', 'os', 'rpc'],
  kubernetes: ['os'],
  metrics: ['grpc/service.ts', 'grpc/code-name.ts', 'restarter/restarter.ts'],
  restarter: ['kubernetes', 'os'],
  sd: ['os'],
  shield: ['fuse/protocol', 'fuse/session', 'sd', 'os', 'holder'],
  holder: ['sd', 'os'],
  lab: ['rpc', 'os', 'grpc/client.ts'],
  'lab/cluster': ['lab', 'kubernetes', 'os'],
  os: [],
  rpc: [],
  'call-context.ts': [],
  'errors.ts': [],
  'limits.ts': [],
  'line-cutter.ts': [],
  'log.ts': [],
  'printable.ts': [],
  'schema.ts': [],
  'secrets.ts': [],
  'version.ts': [],
  'yaml.ts': [],
}

const EVERYWHERE = [
  'call-context.ts',
  'errors.ts',
  'limits.ts',
  'line-cutter.ts',
  'log.ts',
  'printable.ts',
  'schema.ts',
  'secrets.ts',
  'version.ts',
  'yaml.ts',
]
const NOT_IN = ['fuse/protocol', 'rpc']

/** Packages, and the parts of src that may import them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/protobuf': ['csi', 'fused', 'grpc', 'hosts', 'lab', 'rpc'],
  '@grpc/grpc-js': ['csi', 'fused', 'grpc', 'metrics'],
  '@kubernetes/client-node': ['kubernetes'],
  'prom-client': ['metrics'],
  commander: ['programs'],
  valibot: [
    'schema.ts',
    'volumes',
    'hosts/program',
    'program-file',
    'fused',
    'kubelet',
    'kubernetes',
    'lab',
    'os/processes/daemon-channel.ts',
    'restarter',
    'shield',
  ],
  yaml: ['yaml.ts'],
  'fuse-native': ['fuse/native'],
}

/** Where the environment may be read, inside of functions: it is handed on from main. `os` reads PATH and TMPDIR. */
const ENVIRONMENT = ['main.ts', 'programs', 'os']

/** The only place that exits. */
const EXITS = ['main.ts']

interface Import {
  readonly from: string
  /** A file below src, or a package's or Node's module. */
  readonly to: string
  readonly kind: 'value' | 'type' | 'dynamic'
}

const FILES = globSync('**/*.ts', { cwd: join(ROOT, 'src') })
  .filter((file) => !file.endsWith('.d.ts'))
  .sort()
const SOURCES = new Map(FILES.map((file) => [file, parse(file)]))
const IMPORTS = [...SOURCES].flatMap(([file, source]) => importsOf(file, source))

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(join(ROOT, 'src', file), 'utf8'), ts.ScriptTarget.Latest, true)
}

function importsOf(file: string, source: ts.SourceFile): readonly Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, kind: Import['kind']): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) throw new Error(`${file}: an import that is no plain text`)
    const { text } = specifier
    found.push({ from: file, to: text.startsWith('.') ? normalize(join(dirname(file), text)) : text, kind })
  }
  walk(source, (node) => {
    if (ts.isImportDeclaration(node)) {
      const type = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      add(node.moduleSpecifier, type ? 'type' : 'value')
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node.moduleSpecifier, node.isTypeOnly ? 'type' : 'value')
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], 'dynamic')
    } else if (ts.isImportTypeNode(node)) {
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, 'type')
    } else if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'require') {
      throw new Error(`${file}: require()`)
    }
  })
  return found
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  node.forEachChild((child) => {
    walk(child, visit)
  })
}

/** Whether a file is, or lies in, one of these. */
function within(file: string, parts: readonly string[]): boolean {
  return parts.some((part) => file === part || file.startsWith(`${part}/`))
}

/** The table's part that a file belongs to: the longest that fits. */
function partOf(file: string): string {
  const parts = Object.keys(MAY_IMPORT).filter((part) => within(file, [part]))
  const [longest] = parts.sort((a, b) => b.length - a.length)
  if (longest === undefined) throw new Error(`src/${file} is in no part of the table`)
  return longest
}

function mayImport(from: string, to: string): boolean {
  const part = partOf(from)
  if (within(to, [part])) return true
  if (within(to, EVERYWHERE) && !NOT_IN.includes(part)) return true
  return within(to, MAY_IMPORT[part] ?? [])
}

const isOurs = ({ to }: Import): boolean => FILES.includes(to)

/** All that is loaded with a file before it has done anything: imports of values, and theirs. */
function loadedWith(file: string): ReadonlySet<string> {
  const loaded = new Set<string>()
  const visit = (one: string): void => {
    if (loaded.has(one)) return
    loaded.add(one)
    for (const { to } of IMPORTS.filter(({ from, kind }) => from === one && kind === 'value')) visit(to)
  }
  visit(file)
  return loaded
}

/** `file:line` of each property access such as `process.env`. */
function accesses(object: string, property: string): { file: string; at: string }[] {
  const found: { file: string; at: string }[] = []
  for (const [file, source] of SOURCES) {
    walk(source, (node) => {
      const dotted = ts.isPropertyAccessExpression(node) && node.name.text === property && node.expression.getText() === object
      const taken = ts.isBindingElement(node) && node.getText() === property && node.parent.parent.getText().endsWith(`= ${object}`)
      if (dotted || taken) found.push({ file, at: `src/${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}` })
    })
  }
  return found
}

describe('the architecture', () => {
  it('is looked at whole', () => {
    assert.ok(FILES.length > 80)
    assert.ok(IMPORTS.length > 300)
    for (const { from, to } of IMPORTS) {
      if (to.startsWith('.') || to.endsWith('.ts')) assert.ok(FILES.includes(to), `src/${from} imports ${to}, which is not there`)
    }
    for (const file of FILES) partOf(file)
  })

  it('has each part import only what the table allows', () => {
    const wrong = IMPORTS.filter(isOurs).filter(({ from, to }) => !mayImport(from, to))
    assert.deepEqual(
      wrong.map(({ from, to }) => `src/${from} imports src/${to}`),
      [],
    )
  })

  it('is the table that docs/architecture.md shows', () => {
    const [, table = ''] = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8').split(/^\| part .*\n\| -.*\n/m)
    const rows = table.matchAll(/^\| ([\w/, -]+?) +\| ([\w/, -]+?) +\|$/gm)
    const list = (cell = ''): readonly string[] => cell.split(', ').toSorted()
    const shown = [...rows].flatMap(([, parts, allowed]) => list(parts).map((part) => [part, list(allowed)] as const))
    const bare = (name: string): string => name.replace(/\.ts$/, '')
    const held = Object.entries(MAY_IMPORT)
      .filter(([part]) => !EVERYWHERE.includes(part))
      .map(([part, allowed]) => [bare(part), allowed.length === 0 ? ['nothing'] : allowed.map(bare).toSorted()] as const)
    assert.deepEqual(
      Object.fromEntries(shown),
      Object.fromEntries(held.map(([part, allowed]) => [part, part === 'programs' ? ['everything but main'] : allowed])),
    )
  })

  it('has each package imported only where it belongs', () => {
    const wrong = IMPORTS.filter((one) => !isOurs(one) && !one.to.startsWith('node:')).filter(({ from, to }) => {
      const name = to
        .split('/')
        .slice(0, to.startsWith('@') ? 2 : 1)
        .join('/')
      return !within(from, PACKAGES[name] ?? [])
    })
    assert.deepEqual(
      wrong.map(({ from, to }) => `src/${from} imports ${to}`),
      [],
    )
  })

  it('has no circle of imports, of types neither', () => {
    const done = new Set<string>()
    const circles: string[] = []
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '))
      if (path.includes(file) || done.has(file)) return
      for (const { to } of IMPORTS.filter((one) => one.from === file && isOurs(one))) visit(to, [...path, file])
      done.add(file)
    }
    for (const file of FILES) visit(file, [])
    assert.deepEqual(circles, [])
  })

  it('has main load no program before it is chosen, and no FUSE process or workload load gRPC', () => {
    for (const file of loadedWith('main.ts')) {
      assert.ok(
        !within(file, ['csi', 'volumes', 'hosts', 'fuse', 'lab', 'rpc', 'dummyfs', 'workload', 'keeper']),
        `main.ts loads ${file}`,
      )
    }
    for (const program of ['programs/dummy-fuse/program.ts', 'programs/workload.ts', 'programs/keep/program.ts']) {
      const loaded = [...loadedWith(program)]
      assert.deepEqual(
        loaded.filter((one) => /^@|^(csi|volumes|hosts|lab|rpc)\//.test(one)),
        [],
        program,
      )
    }
  })

  it('exits in one place', () => {
    const exits = [...accesses('process', 'exit'), ...accesses('process', 'reallyExit'), ...accesses('process', 'abort')]
    assert.ok(exits.some(({ file }) => file === 'main.ts'))
    assert.deepEqual(
      exits.filter(({ file }) => !EXITS.includes(file)).map(({ at }) => at),
      [],
    )
  })

  it('reads the environment where it may, and nowhere as a module is imported', () => {
    const reads = accesses('process', 'env')
    assert.ok(reads.length > 0)
    assert.deepEqual(
      reads.filter(({ file }) => !within(file, ENVIRONMENT)).map(({ at }) => at),
      [],
    )
    for (const [file, source] of SOURCES) {
      for (const statement of source.statements) {
        if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) continue
        // Functions that a constant holds run later.
        const text = ts.isVariableStatement(statement) ? statement.declarationList.declarations.map(runsAtImport).join() : ''
        assert.doesNotMatch(text, /\bprocess\.env\b|\benv\b.*= process\b/, `src/${file}`)
      }
    }
  })

  it('makes folders with their parents in one place: Node’s own recursive mkdir may go round for ever', () => {
    const makes = [...SOURCES].filter(([, source]) => /\bmkdir(Sync)?\([^;]*\brecursive\b/.test(source.text))
    assert.deepEqual(
      makes.map(([file]) => file),
      [],
    )
    assert.ok([...SOURCES].some(([file, source]) => file === 'os/mounts/directories.ts' && source.text.includes('mkdirSync(')))
  })

  it('has no state in its modules', () => {
    const state = [...SOURCES].flatMap(([file, source]) =>
      source.statements
        .filter((statement) => ts.isVariableStatement(statement))
        .filter(({ declarationList }) => (declarationList.flags & ts.NodeFlags.Const) === 0)
        .map((statement) => `src/${file}: ${statement.getText()}`),
    )
    assert.deepEqual(state, [])
  })
})

/** A declaration that is not a function's. */
function runsAtImport(declaration: ts.VariableDeclaration): string {
  const { initializer } = declaration
  if (initializer === undefined || ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer)) return ''
  return declaration.getText()
}
