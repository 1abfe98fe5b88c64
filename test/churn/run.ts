// Runs churns and prints what they have counted. Started by scripts/chaos.
import { parseArgs } from 'node:util'
import { messageOf } from '../../src/errors.ts'
import { Churn, type ChurnScale } from './churn.ts'
import { report } from './report.ts'
import { type Mode, MODES } from './sites.ts'

/** Milliseconds between two lines that tell how far it has come. */
const TELL_EVERY = 5000

const { values, positionals } = parseArgs({
  options: {
    seed: { type: 'string' },
    kills: { type: 'string', default: '1000' },
    pause: { type: 'string', default: '800' },
    volumes: { type: 'string', default: '50' },
    workers: { type: 'string', default: '16' },
    backoff: { type: 'string', default: '500' },
  },
  allowPositionals: true,
})

function number(name: string, text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) fail(`--${name} is '${text}'; it takes a whole number from 1`)
  return Number(text)
}

function fail(message: string): never {
  process.stderr.write(`chaos: ${message} (see scripts/chaos --help)\n`)
  process.exit(2)
}

function modes(args: readonly string[]): readonly Mode[] {
  if (args.length === 0) return MODES
  return args.map((word) => MODES.find((mode) => mode === word) ?? fail(`no host mode '${word}'; there are ${MODES.join(', ')}`))
}

async function churn(mode: Mode, scale: ChurnScale): Promise<boolean> {
  const one = new Churn(mode, scale)
  const began = performance.now()
  const seconds = (): string => `${Math.round((performance.now() - began) / 1000)} s`
  const teller = setInterval(() => process.stderr.write(`${seconds()} ${one.progress()}\n`), TELL_EVERY)
  try {
    await one.run()
  } catch (error) {
    one.tally.finding(`the run was broken off: ${messageOf(error)}`)
  } finally {
    clearInterval(teller)
  }
  process.stdout.write(`${report(`${mode}, seed ${scale.seed}, ${scale.kills} kills in ${seconds()}`, one)}\n\n`)
  return one.tally.findings.length === 0
}

const scale: ChurnScale = {
  seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) + 1 : number('seed', values.seed),
  kills: number('kills', values.kills),
  pause: number('pause', values.pause),
  volumes: number('volumes', values.volumes),
  workers: number('workers', values.workers),
  backoff: number('backoff', values.backoff),
}
const chosen = modes(positionals)
process.stdout.write(`seed ${scale.seed}\n`)
let well = true
for (const mode of chosen) well = (await churn(mode, scale)) && well
process.exitCode = well ? 0 : 1
