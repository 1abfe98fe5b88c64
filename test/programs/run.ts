// Runs the lab with each FUSE program of examples/programs and prints a table of what their consumers met; with --mount, of what their mount commands do.
// Started by scripts/lab-programs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Sandbox } from '../support/sandbox.ts'
import { type LabChoice, labOf } from './lab.ts'
import { mountTable } from './mount-table.ts'
import { mountOf, verdictsIn } from './mount.ts'
import { LAB_PROGRAMS, type LabProgram, MOUNT_PROGRAMS } from './program.ts'
import { programTable } from './table.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: 'lab-programs' },
    mount: { type: 'boolean', default: false },
    wait: { type: 'string' },
    host: { type: 'string' },
    watch: { type: 'string' },
    failure: { type: 'string' },
    mitigation: { type: 'string' },
  },
})
const foreign = values.mount ? (['host', 'watch', 'failure', 'mitigation'] as const) : (['wait'] as const)
for (const name of foreign)
  if (values[name] !== undefined) fail(`--${name} has no part in a run ${values.mount ? 'with' : 'without'} --mount; leave it out`)
const all = values.mount ? MOUNT_PROGRAMS : LAB_PROGRAMS
const known = all.map(({ name }) => name)
const stranger = positionals.find((name) => !known.includes(name))
if (stranger !== undefined) fail(`there is no program '${stranger}'; it takes ${known.join(', ')}`)

const { out } = values
if (values.mount) {
  const wait = seconds('wait', values.wait ?? '75', 1, 90)
  await tellOfEach('mount-table.md', mountTable, async (sandbox, program) => {
    const json = await mountOf(sandbox, program, { wait, only: [] })
    writeFileSync(join(out, `${program.name}.mount.json`), json)
    return verdictsIn(json)
  })
} else {
  const { host = 'child', failure, mitigation = 'as-is' } = values
  if (host !== 'child' && host !== 'detached') fail(`--host is '${host}'; it takes child or detached`)
  const words = ['--mitigation', mitigation, ...(failure === undefined ? [] : ['--failure', failure])]
  const choice: LabChoice = { host, watch: seconds('watch', values.watch ?? '5', 2, 600), words, out }
  await tellOfEach('table.md', programTable, async (sandbox, program) => await labOf(sandbox, program, choice))
}

/** Acts on each program that is chosen, and writes the table of what came of them. */
async function tellOfEach<Seen>(
  file: string,
  tableOf: (seen: ReadonlyMap<string, Seen>) => string,
  act: (sandbox: Sandbox, program: LabProgram) => Promise<Seen>,
): Promise<void> {
  mkdirSync(out, { recursive: true })
  const seen = new Map<string, Seen>()
  const chosen = positionals.length === 0 ? LAB_PROGRAMS : all.filter(({ name }) => positionals.includes(name))
  for (const program of chosen) {
    process.stdout.write(`${program.name}:\n`)
    await using sandbox = new Sandbox()
    try {
      seen.set(program.name, await act(sandbox, program))
    } catch (error) {
      process.exitCode = 1
      process.stdout.write(`${program.name}: ${error instanceof Error ? error.message : String(error)}\n`)
    }
  }
  const table = `${tableOf(seen)}\n`
  writeFileSync(join(out, file), table)
  process.stdout.write(`\n${table}`)
}

function seconds(name: string, text: string, least: number, most: number): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) < least || Number(text) > most)
    fail(`--${name} is '${text}'; it takes whole seconds from ${least} to ${most}`)
  return Number(text)
}

function fail(message: string): never {
  process.stderr.write(`lab-programs: ${message} (see scripts/lab-programs --help)\n`)
  process.exit(2)
}
