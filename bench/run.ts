// Prints every figure beside its peer, as a table and, with --json FILE, for machines. Run by scripts/bench.
import { writeFileSync } from 'node:fs'
import { arch, cpus, release } from 'node:os'
import { parseArgs } from 'node:util'
import { messageOf } from '../src/errors.ts'
import { Sandbox } from '../test/support/sandbox.ts'
import { latency } from './latency.ts'
import { life } from './life.ts'
import { manyVolumes } from './many-volumes.ts'
import type { Measurement } from './measurement.ts'
import { mount } from './mount.ts'
import { type Row, table } from './row.ts'
import { serviceMount } from './service-mount.ts'
import { shields } from './shield.ts'
import { stalls } from './stall.ts'
import { quietness, start } from './start.ts'

const MEASUREMENTS: readonly Measurement[] = [start, mount, latency, ...life, ...manyVolumes, serviceMount, ...stalls, ...shields]

/** Tells people how much to trust the figures. */
function said({ before, after }: { readonly before: number; readonly after: number }): string {
  return `node -e 0 took ${before.toFixed(0)} ms before and ${after.toFixed(0)} ms after: where that is more than on an idle machine, so is the rest`
}

const { values } = parseArgs({
  options: { json: { type: 'string' }, rounds: { type: 'string', default: '20' }, rows: { type: 'string', default: '' } },
})
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds ${values.rounds} is not a number of rounds; use a whole number from 1 on, such as 20`)
const patterns = values.rows.split(',')
const chosen = MEASUREMENTS.filter(({ name }) => patterns.some((pattern) => name.includes(pattern)))
if (chosen.length === 0)
  throw new Error(`--rows ${values.rows} names no part; there are ${MEASUREMENTS.map(({ name }) => name).join(', ')}`)

const before = await quietness()
const rows: Row[] = []
for (const { name, about, measure } of chosen) {
  process.stderr.write(`measuring ${name}: ${about}\n`)
  try {
    await using sandbox = new Sandbox()
    rows.push(...(await measure(sandbox, rounds)))
  } catch (error) {
    rows.push({ work: `${name}: ${about}`, error: messageOf(error) })
  }
}
const nodeMs = { before, after: await quietness() }
process.stdout.write(`${table(rows)}\n\n${said(nodeMs)}\n`)
const machine = { kernel: release(), arch: arch(), cpus: cpus().length, model: cpus()[0]?.model ?? '', nodeMs }
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ version: 2, machine, rounds, rows }, null, 2)}\n`)
if (rows.some((row) => 'error' in row)) process.exitCode = 1
