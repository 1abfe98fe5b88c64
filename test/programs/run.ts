// Runs the lab with each FUSE program of examples/programs and prints a table of what their consumers met. Started by scripts/lab-programs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { Sandbox } from '../support/sandbox.ts'
import { LAB_PROGRAMS, type LabChoice, labOf } from './lab.ts'
import { programTable } from './table.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: 'lab-programs' },
    host: { type: 'string', default: 'child' },
    watch: { type: 'string', default: '5' },
    failure: { type: 'string' },
    mitigation: { type: 'string', default: 'as-is' },
  },
})
const { host } = values
if (host !== 'child' && host !== 'detached') fail(`--host is '${host}'; it takes child or detached`)
if (!/^\d{1,3}$/.test(values.watch) || Number(values.watch) < 2 || Number(values.watch) > 600)
  fail(`--watch is '${values.watch}'; it takes whole seconds from 2 to 600`)
const known = LAB_PROGRAMS.map(({ name }) => name)
const stranger = positionals.find((name) => !known.includes(name))
if (stranger !== undefined) fail(`there is no program '${stranger}'; it takes ${known.join(', ')}`)

const words = ['--mitigation', values.mitigation, ...(values.failure === undefined ? [] : ['--failure', values.failure])]
const choice: LabChoice = { host, watch: Number(values.watch), words, out: values.out }
mkdirSync(choice.out, { recursive: true })
const records = new Map<string, LabRecord>()
for (const program of LAB_PROGRAMS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  process.stdout.write(`${program.name}:\n`)
  await using sandbox = new Sandbox()
  try {
    records.set(program.name, await labOf(sandbox, program, choice))
  } catch (error) {
    process.exitCode = 1
    process.stdout.write(`${program.name}: ${error instanceof Error ? error.message : String(error)}\n`)
  }
}
const table = `${programTable(records)}\n`
writeFileSync(join(choice.out, 'table.md'), table)
process.stdout.write(`\n${table}`)

function fail(message: string): never {
  process.stderr.write(`lab-programs: ${message} (see scripts/lab-programs --help)\n`)
  process.exit(2)
}
