// Sends hostile bytes to each server and prints what has come of it. Started by scripts/chaos.
import { parseArgs } from 'node:util'
import { type HostileOutcome, hostileToFused, hostileToPlugin } from './bytes.ts'

const { values, positionals } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, requests: { type: 'string', default: '10000' } },
  allowPositionals: true,
})
const [word] = positionals
if (word !== undefined) fail(`bytes takes no argument '${word}'`)

function number(name: string, text: string): number {
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : fail(`--${name} is '${text}'; it takes a whole number from 1`)
}

function fail(message: string): never {
  process.stderr.write(`chaos: ${message} (see scripts/chaos --help)\n`)
  process.exit(2)
}

function print(name: string, { answers, findings }: HostileOutcome): void {
  const counts = [...answers].map(([status, count]) => `${status} ${count}`).sort()
  process.stdout.write(`${name}: ${counts.join(', ')}\n`)
  for (const finding of findings) process.stdout.write(`  found: ${finding}\n`)
  if (findings.length === 0) process.stdout.write('  nothing was found\n')
}

const requests = number('requests', values.requests)
const scale = { seed: number('seed', values.seed), requests, connections: requests, messages: requests }
const plugin = await hostileToPlugin(scale)
print('serve', plugin)
const fused = await hostileToFused(scale)
print('dummy-fused and keep', fused)
process.exit(plugin.findings.length + fused.findings.length === 0 ? 0 : 1)
