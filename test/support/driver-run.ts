import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { EXECUTABLE, ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** The command of a driver in test/peers. */
export function peer(name: string, ...args: readonly string[]): readonly string[] {
  return [process.execPath, bundled(name), ...args]
}

/** Makes one file of a driver and all that it imports: the driver is started in each cell, and takes a third of the processor time that way. */
function bundled(name: string): string {
  const folder = join(ROOT, 'build/peers')
  const { outputFiles } = buildSync({
    entryPoints: [join(ROOT, `test/peers/${name}.ts`)],
    ...{ bundle: true, platform: 'node', target: 'node24', format: 'esm', write: false },
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)` },
  })
  const path = join(folder, `${name}.mjs`)
  mkdirSync(folder, { recursive: true })
  // In one step: other test files make the same one.
  const own = `${path}.${randomUUID()}`
  writeFileSync(own, outputFiles[0]?.contents ?? '')
  renameSync(own, path)
  return path
}

/** Most of the file of test/peers/store-driver.ts, a driver that wants nearly every field: all but `populate`, `file` and `content`. */
export const STORE = {
  name: 'store-driver',
  start: peer('store-driver', '{state}'),
  env: { STORE_PLACE: '{state}/here' },
  socket: '/run/store-driver/csi.sock',
  callTimeout: 20,
  podInfo: true,
  volume: {
    accessMode: 'MULTI_NODE_READER_ONLY',
    secrets: { of: 'of-all' },
    callSecrets: { nodeStage: { of: 'of-stage' }, controllerCreate: { of: 'of-create' } },
  },
  create: { parameters: { pool: '{state}' }, capacity: { required: '1Mi', limit: 2097152 } },
}

/** What a run of the lab with a driver has printed and written. */
export interface DriverRun {
  readonly record: LabRecord
  readonly stdout: string
  readonly markdown: string
  readonly report: string
  /** As JUnit's XML. */
  readonly xml: string
}

/** How the lab is started. */
interface Start {
  /** A command that executes another, and its arguments. */
  readonly by?: readonly string[]
  /** The executable; ours if it is left out. */
  readonly lab?: string
}

/** Runs cells of the lab with a driver's file, which must end with 0. */
export async function runDriver(
  sandbox: Sandbox,
  file: object,
  cells: readonly string[],
  { by = [], lab = EXECUTABLE }: Start = {},
): Promise<DriverRun> {
  const at = (name: string): string => join(sandbox.path, name)
  writeFileSync(at('driver.yaml'), JSON.stringify(file))
  const files = ['--json', at('seen.json'), '--markdown', at('seen.md'), '--report', at('seen.html'), '--junit', at('seen.xml')]
  const [program = '', ...args] = [...by, lab, 'lab', 'run', '--driver', at('driver.yaml'), ...cells, ...files]
  const { status, stdout, stderr } = await sandbox.run(program, args, { timeout: 240_000 })
  assert.equal(status, 0, stdout + stderr)
  const [json = '', markdown = '', report = '', xml = ''] = ['json', 'md', 'html', 'xml'].map((kind) =>
    readFileSync(at(`seen.${kind}`), 'utf8'),
  )
  return { record: JSON.parse(json) as LabRecord, stdout, markdown, report, xml }
}
