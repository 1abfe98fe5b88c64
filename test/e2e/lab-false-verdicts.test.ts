import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PROBE } from '../../src/lab/consumer/probe.ts'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import type { Verdict } from '../../src/lab/mount-command/cases.ts'
import { type DriverRun, runDriver } from '../support/driver-run.ts'
import { mutatedExecutable, type SourceMutation } from '../support/mutated.ts'
import { Sandbox } from '../support/sandbox.ts'
import { BINDING, late, served } from '../support/small-drivers.ts'

/** A lab that gives a false verdict again, and the test that has the true one of the same driver. */
interface Mutant {
  readonly name: string
  readonly source: SourceMutation
  readonly driver: () => object | Promise<object>
  readonly failure: string
  readonly consumer: string
  readonly says: (run: DriverRun) => void
}

function outcomes({ cells, firstUse }: LabRecord): readonly (string | undefined)[] {
  return [...(firstUse?.consumers ?? []), ...cells.flatMap(({ consumers }) => consumers)].map(({ seen }) => seen)
}

const MUTANTS: readonly Mutant[] = [
  {
    // lab-driver-daemons.test.ts: 'hangs'.
    name: 'takes what the file names for the daemon, and finds nothing broken when it has killed a holder',
    source: {
      file: 'src/lab/cell/driver-daemons.ts',
      from: 'held.filter(({ answers }) => answers === true)',
      to: 'held.filter(({ comm }) => comm === this.#means.daemon)',
    },
    driver: async () => ({ ...(await served('held')), daemon: 'fd-holder' }),
    failure: 'daemon-killed',
    consumer: 'keeps-open',
    says: ({ record }) => {
      for (const seen of outcomes(record)) assert.match(seen ?? '', /^(works|waits)$/)
    },
  },
  {
    // lab-driver-watch.test.ts: 'writes-to-host-recovers'.
    name: 'says "to the end" of a driver that heals after 12 s, because it watches for 2 s',
    source: { file: 'src/lab/driver/need.ts', from: 'const CURE = 45_000', to: 'const CURE = 0' },
    driver: () => ({ ...BINDING, env: { HEALS: 12_000 } }),
    failure: 'target-unmounted',
    consumer: 'opens-anew',
    says: ({ record, markdown }) => {
      assert.equal(outcomes(record).at(-1), 'writes-to-host')
      assert.match(markdown, /It lasted to the end\./)
    },
  },
  {
    // lab-driver-watch.test.ts: 'writes-to-host-recovers' of each consumer in the first use.
    name: 'throws an early return away, with the consumers that do not read right from the beginning',
    source: {
      file: 'src/lab/cell/observe.ts',
      from: 'left: undefined, unready: [] })',
      to: 'left: undefined, unready: consumers.filter(({ reads }) => reads.lastWrong !== undefined) })',
    },
    driver: late,
    failure: 'plugin-killed',
    consumer: 'private',
    says: ({ record: { firstUse }, markdown }) => {
      assert.deepEqual(firstUse?.consumers, [])
      assert.match(markdown, /^No consumer of fuse-driver broke for good/m)
    },
  },
  {
    // lab-driver-watch.test.ts: a file for each consumer.
    name: "looks for data on the node's own disk by its path, and finds nothing below a mount",
    source: {
      file: 'src/lab/cell/node-disk.ts',
      from: 'return openSync(at, O_PATH)',
      to: 'return openSync(KUBELET, O_PATH)',
    },
    driver: late,
    failure: 'plugin-killed',
    consumer: 'private',
    says: ({ record: { firstUse }, markdown }) => {
      assert.deepEqual([firstUse?.consumers[0]?.wroteToNode, firstUse?.evidence.disk], [true, []])
      assert.ok(!markdown.includes(PROBE))
    },
  },
]

describe('a lab with a false verdict is found by the small driver that behaves so: one that', () => {
  for (const { name, source, driver, failure, consumer, says } of MUTANTS)
    it(name, async () => {
      await using sandbox = new Sandbox()
      const cells = ['--failure', failure, '--mitigation', 'as-is', '--consumer', consumer]
      says(await runDriver(sandbox, await driver(), cells, { lab: await mutatedExecutable(sandbox, source) }))
    })

  it('takes a mount command that returns early for one that waits for its mount', async () => {
    // lab-mount.test.ts: a finding, #1079.
    await using sandbox = new Sandbox()
    const source = { file: 'src/lab/mount-command/trial.ts', from: 'returned.stood ??= stands', to: 'returned.stood ??= true' }
    const line = '(sleep 0.7; exec bindfs -f /srv "$0") >/dev/null 2>&1 3>&- & exit 0'
    const args = ['lab', 'mount', '--json', '--wait', '60', '--only', 'mounts', '--', 'sh', '-c', line, '{target}']
    const { status, stdout, stderr } = await sandbox.run(await mutatedExecutable(sandbox, source), args, { timeout: 120_000 })
    assert.equal(status, 0, stderr)
    const { verdicts } = JSON.parse(stdout) as { verdicts: readonly Verdict[] }
    assert.deepEqual(
      verdicts.map(({ result }) => result),
      ['well'],
    )
  })
})
