// Prints every figure beside its peer, as a table and, with --json FILE, for machines. Run by scripts/bench.
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Sandbox } from '../test/support/sandbox.ts'
import { table } from './measure.ts'
import { mount } from './mount.ts'
import { start } from './start.ts'

const { values } = parseArgs({ options: { json: { type: 'string' }, rounds: { type: 'string', default: '20' } } })
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds} is no number of rounds; 20 is a good one`)
await using sandbox = new Sandbox()
const comparisons = [...(await start(sandbox, rounds)), ...(await mount(sandbox, rounds))]
process.stdout.write(`${table(comparisons)}\n`)
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ version: 1, rounds, comparisons }, null, 2)}\n`)
