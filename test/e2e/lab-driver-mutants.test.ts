import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { teardownProblems } from '../../src/lab/report/teardown-findings.ts'
import { type DriverRun, runDriver } from '../support/driver-run.ts'
import { mutatedExecutable, type SourceMutation } from '../support/mutated.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Runs failures with our product as somebody's driver, or with a mutant of it. */
async function labRun(failures: string, source?: SourceMutation): Promise<DriverRun> {
  await using sandbox = new Sandbox()
  const program = source === undefined ? EXECUTABLE : await mutatedExecutable(sandbox, source)
  const file = {
    name: 'dummy-fuse-csi',
    start: [program, 'serve', '--endpoint', 'unix://{socket}', '--state-dir', '{state}', '--nodeid', '{node}'],
    container: ['dummy-fuse'],
    daemon: 'dummy-fuse',
    callTimeout: 60,
    watch: 15,
    volume: { id: 'some-volume' },
    file: 'dummy-file.txt',
    content: 'Hello world!\n',
  }
  return await runDriver(sandbox, file, ['--failure', failures, '--mitigation', 'as-is', '--consumer', 'keeps-open,private'])
}

/** Of each cell, the first use included: its failure, what the two consumers saw, and the harms of the teardown. On a busy machine a read may have waited, or a pod started when a call was made again. */
function shown({ firstUse, cells }: LabRecord): readonly (readonly string[])[] {
  const all = [...(firstUse === undefined ? [] : [firstUse]), ...cells]
  return all.map((cell) => [
    cell.failure,
    ...cell.consumers.map(({ seen }) => (seen === 'waits' || seen === 'starts-late' ? 'works' : seen)),
    ...teardownProblems(cell).map(({ harm }) => harm),
  ])
}

const WELL = ['works', 'works']

describe('our product as a driver that is brought', () => {
  it('is clean: a new pod is well, each call succeeds, and nothing is left', async () => {
    const { record } = await labRun('target-unmounted,pod-replaced')
    assert.deepEqual(shown(record), [
      ['first-use', ...WELL],
      ['target-unmounted', ...WELL],
      ['pod-replaced', 'errors', 'restarted'],
    ])
  })

  const UNPUBLISH = "await this.#points.unmountAll(targetPath, entry === undefined ? 'own' : 'any')"
  const MUTANTS: { name: string; source: SourceMutation; failures: string; shows: readonly (readonly string[])[]; says: RegExp }[] =
    [
      {
        name: 'that unpublishes only what is mounted has pods stuck in Terminating',
        source: {
          file: 'src/volumes/publisher.ts',
          from: UNPUBLISH,
          to: `if (this.#states.mountAt(targetPath) === undefined) throw new VolumeError('internal', 'not mounted')\n${UNPUBLISH}`,
        },
        failures: 'target-unmounted',
        shows: [
          ['first-use', ...WELL],
          ['target-unmounted', ...WELL, 'stuck'],
        ],
        says: /\*\*Stuck in Terminating\*\*: Targets unmounted\. /,
      },
      {
        name: 'that unstages nothing leaves its mount and its daemon on the node',
        source: {
          file: 'src/volumes/stager.ts',
          from: 'await this.#refuseWhilePublished(volumeId, stagingPath, call)\n',
          to: 'if (entry !== undefined) return\n',
        },
        failures: 'out-of-descriptors',
        shows: [
          ['first-use', ...WELL, 'left-behind'],
          ['out-of-descriptors', ...WELL, 'left-behind'],
        ],
        says: /\*\*Left on the node\*\*: First use\. Without any failure: .* It is the same after 1 of the 1 failure tried\./,
      },
      {
        name: 'that takes a dead session for a live one cures pods only when all of them have left',
        source: {
          file: 'src/volumes/stager.ts',
          from: "if (state.kind === 'MOUNTED' && entry !== undefined) return state.device",
          to: "if ((state.kind === 'MOUNTED' || state.kind === 'DEAD') && entry !== undefined) return state.device",
        },
        failures: 'pod-replaced,all-pods-replaced',
        shows: [
          ['first-use', ...WELL],
          ['pod-replaced', 'errors', 'errors'],
          ['all-pods-replaced', 'restarted', 'restarted'],
        ],
        says: /\*\*Errors for ever\*\*: Daemon killed and a pod replaced\. All 2 consumers stay broken\.[^]*Every pod of the node has to leave; the next one reads right\./,
      },
    ]
  for (const { name, source, failures, shows, says } of MUTANTS)
    it(name, async () => {
      const { record, markdown } = await labRun(failures, source)
      assert.deepEqual(shown(record), shows)
      assert.match(markdown, says)
    })
})
