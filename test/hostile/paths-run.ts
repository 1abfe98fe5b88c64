// Runs the campaign of hostile paths and prints what it has counted. Started by scripts/chaos.
import { parseArgs } from 'node:util'
import { MODES } from '../model/hosts.ts'
import { ATTACKERS, attackPaths, pathsReport } from './paths.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31) + 1) },
    calls: { type: 'string', default: '10000' },
    workers: { type: 'string', default: '4' },
  },
})
if (positionals.length > 0) {
  process.stderr.write(`chaos: paths takes no argument '${positionals.join(' ')}' (see scripts/chaos --help)\n`)
  process.exit(2)
}
const [seed, calls, workers] = [values.seed, values.calls, values.workers].map((text) => {
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text)
  process.stderr.write(`chaos: '${text}' is not a whole number from 1 on (see scripts/chaos --help)\n`)
  process.exit(2)
}) as [number, number, number]

process.stdout.write(`seed ${seed}\n`)
const share = Math.ceil(calls / MODES.length / ATTACKERS.length)
for (const mode of MODES) {
  for (const attacker of ATTACKERS) {
    const tally = await attackPaths({ mode, attacker, seed, calls: share, workers })
    process.stdout.write(`${pathsReport(`${mode}; ${attacker}`, tally)}\n`)
    if (tally.findings.length > 0) process.exitCode = 1
  }
}
