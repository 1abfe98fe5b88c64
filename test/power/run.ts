// Cuts the power at every write of serve and of dummy-fused, and prints what has come of it. Started by scripts/chaos.
import { parseArgs } from 'node:util'
import { Sandbox } from '../support/sandbox.ts'
import { cutFused, cutServe, type PowerOutcome, type PowerScale } from './cuts.ts'
import { powerReport } from './report.ts'

const { values, positionals } = parseArgs({
  options: { volumes: { type: 'string', default: '32' }, each: { type: 'string', default: '30' } },
  allowPositionals: true,
})
if (positionals.length > 0) fail(`power takes no word such as '${positionals.join(' ')}'`)

function number(name: string, text: string): number {
  return /^[1-9]\d{0,4}$/.test(text) ? Number(text) : fail(`--${name} is '${text}'; it takes a whole number from 1 to 99999`)
}

function fail(message: string): never {
  process.stderr.write(`chaos: ${message} (see scripts/chaos --help)\n`)
  process.exit(2)
}

async function run(name: string, cut: (sandbox: Sandbox, scale: PowerScale) => Promise<PowerOutcome>): Promise<void> {
  await using sandbox = new Sandbox()
  const outcome = await cut(sandbox, scale)
  process.stdout.write(`${powerReport(name, outcome)}\n`)
  if (outcome.findings.length > 0) process.exitCode = 1
}

const scale = { volumes: number('volumes', values.volumes), each: number('each', values.each) }
await run('serve', cutServe)
await run('dummy-fused', cutFused)
