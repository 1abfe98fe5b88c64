// Puts FUSE programs behind the shield, kills and upgrades them while they are used, and prints a table. Started by scripts/shield-programs.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { messageOf } from '../../src/errors.ts'
import { SeededRandom } from '../support/random.ts'
import { Sandbox } from '../support/sandbox.ts'
import { fill } from '../support/shield.ts'
import { CASES, type CaseScale, type Ground, type ShieldCase } from './cases.ts'
import { namesOf, SHIELD_PROGRAMS, type ShieldProgram } from './program.ts'

/** Milliseconds for one case of one program. */
const CASE_LIMIT = 1_800_000

/** How a case came out with a program. */
type Outcome = 'ok' | 'FAILED' | { readonly notFor: string }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean', default: false },
    case: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string' },
    kills: { type: 'string', default: '10' },
    upgrades: { type: 'string', default: '5' },
    'mixed-kills': { type: 'string', default: '16' },
    together: { type: 'string', default: '50' },
  },
})

if (values.list) list()
else await runAll()

function list(): void {
  const lines = (rows: readonly (readonly [string, string])[]): string => {
    return rows.map(([name, what]) => `  ${name.padEnd(14)}  ${what}\n`).join('')
  }
  const programs = SHIELD_PROGRAMS.map(({ name, library, readOnly, leftOut }) => {
    const remarks = [
      readOnly === undefined ? 'reads and writes' : 'reads',
      ...(leftOut === undefined ? [] : [`only if it is named: ${leftOut}`]),
    ]
    return [name, [library, ...remarks].join('; ')] as const
  })
  process.stdout.write(`Programs:\n${lines(programs)}Cases:\n${lines(CASES.map(({ name, what }) => [name, what]))}`)
}

async function runAll(): Promise<void> {
  const programs = chosen('program', SHIELD_PROGRAMS, positionals).filter(isTried)
  const cases = chosen('case', CASES, values.case)
  const scale: CaseScale = {
    kills: number('kills', values.kills),
    upgrades: number('upgrades', values.upgrades),
    mixedKills: number('mixed-kills', values['mixed-kills']),
    together: number('together', values.together),
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) + 1 : number('seed', values.seed)
  process.stdout.write(`seed ${seed}\n`)
  const rows = new Map<ShieldProgram, ReadonlyMap<ShieldCase, Outcome>>()
  for (const program of programs) rows.set(program, await runProgram(program, cases, scale, seed))
  process.stdout.write(`\n${table(cases, rows)}\n`)
}

function isTried({ name, leftOut, executable }: ShieldProgram): boolean {
  if (positionals.includes(name)) return true
  const why = leftOut ?? (executable === undefined || existsSync(executable) ? undefined : 'it is not built')
  if (why !== undefined) process.stdout.write(`${name}: left out: ${why}\n`)
  return why === undefined
}

/** Each case with one program. What has failed turns the exit status. */
async function runProgram(
  program: ShieldProgram,
  cases: readonly ShieldCase[],
  scale: CaseScale,
  seed: number,
): Promise<ReadonlyMap<ShieldCase, Outcome>> {
  const outcomes = new Map<ShieldCase, Outcome>()
  const say = (what: string, how: string): void => void process.stdout.write(`${program.name}, ${what}: ${how}\n`)
  try {
    await using storage = new Sandbox()
    const folder = storage.directory('filled')
    fill(folder, namesOf(program))
    writeFileSync(join(folder, 'poison'), 'poison')
    const prepared = await program.prepare(storage, folder)
    for (const one of cases) {
      const notFor = one.notFor(program)
      if (notFor !== undefined) {
        outcomes.set(one, { notFor })
        continue
      }
      const began = performance.now()
      // Each case of each program has its own random numbers, so that it can be repeated alone.
      const random = new SeededRandom(seed)
      try {
        const done = await runCase(one, { program, prepared, scale, random })
        outcomes.set(one, 'ok')
        say(one.name, `ok: ${done}, ${Math.round((performance.now() - began) / 1000)} s`)
      } catch (error) {
        process.exitCode = 1
        outcomes.set(one, 'FAILED')
        say(one.name, `FAILED: ${messageOf(error)}`)
      }
    }
  } catch (error) {
    process.exitCode = 1
    say('its storage', `FAILED: ${messageOf(error)}`)
  }
  return outcomes
}

async function runCase(one: ShieldCase, ground: Ground): Promise<string> {
  await using sandbox = new Sandbox()
  const over = new AbortController()
  const limit = sleep(CASE_LIMIT, undefined, { signal: over.signal }).then(() => {
    throw new Error(`it has not ended within ${CASE_LIMIT / 60_000} minutes`)
  })
  limit.catch(() => undefined)
  try {
    return await Promise.race([one.run(sandbox, ground), limit])
  } finally {
    over.abort()
  }
}

/** The outcomes as Markdown, and why cases are not for programs. */
function table(cases: readonly ShieldCase[], rows: ReadonlyMap<ShieldProgram, ReadonlyMap<ShieldCase, Outcome>>): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const reasons: string[] = []
  const body = [...rows].map(([{ name, names }, row]) => {
    if (names !== undefined) reasons.push(`${name}: ${names[0]} names in place of 20,000, because ${names[1]}`)
    const cells = cases.map((one) => {
      const outcome = row.get(one) ?? 'FAILED'
      if (typeof outcome === 'string') return outcome
      reasons.push(`${name}, ${one.name}: ${outcome.notFor}`)
      return '–'
    })
    return line([name, ...cells])
  })
  const head = [line(['program', ...cases.map(({ name }) => name)]), line(Array<string>(cases.length + 1).fill('---'))]
  return [...head, ...body, '', ...reasons].join('\n')
}

/** Those that are named, or all. */
function chosen<Named extends { readonly name: string }>(
  what: string,
  all: readonly Named[],
  names: readonly string[],
): readonly Named[] {
  const known = all.map(({ name }) => name)
  const stranger = names.find((name) => !known.includes(name))
  if (stranger !== undefined) fail(`there is no ${what} '${stranger}'; there are ${known.join(', ')}`)
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
}

function number(name: string, text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) fail(`--${name} is '${text}'; it takes a whole number from 1`)
  return Number(text)
}

function fail(message: string): never {
  process.stderr.write(`shield-programs: ${message} (see scripts/shield-programs --help)\n`)
  process.exit(2)
}
