import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Cell, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { mutatedExecutable, type SourceMutation } from '../support/mutated.ts'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

/** What is different in a product: further flags of its programs, or a place in its source. */
interface Mutation {
  readonly serve?: string
  readonly fused?: string
  readonly consumer?: string
  readonly source?: SourceMutation
}

/** Runs the lab with another product in the place of ours. */
async function labWith(
  sandbox: Sandbox,
  { serve, fused, consumer, source }: Mutation,
  args: readonly string[],
): Promise<{ status: number | null; output: string }> {
  const program = (name: string, argv0: string, flags = '', executable = EXECUTABLE): string => {
    const path = join(sandbox.path, name)
    writeFileSync(path, `#!/bin/bash\nexec -a ${argv0} ${executable} "$@" ${flags}\n`, { mode: 0o755 })
    return path
  }
  const plugin = source === undefined ? undefined : await mutatedExecutable(sandbox, source)
  const paths = {
    serve: program('serve', 'dummy-fuse-csi', serve, plugin),
    fused: program('fused', 'dummy-fused', fused),
    consumer: program('consumer', 'dummy-fuse-csi', consumer),
  }
  const script = join(sandbox.path, 'lab.ts')
  writeFileSync(
    script,
    `import { lab } from ${JSON.stringify(join(ROOT, 'src/programs/lab/program.ts'))}
const paths = ${JSON.stringify(paths)}
const executableOf = (argv0: string, word: string | undefined): string =>
  word === 'serve' ? paths.serve : word === 'lab-consumer' ? paths.consumer : argv0 === 'dummy-fused' ? paths.fused : ${JSON.stringify(EXECUTABLE)}
const command = (argv0: string, args: readonly string[]) => ({ executable: executableOf(argv0, args[0]), args, argv0 })
process.exit(await lab({
  args: ${JSON.stringify(['run', ...args])},
  env: process.env,
  self: (args) => command('dummy-fuse-csi', args),
  other: command,
}))`,
  )
  const { status, stdout, stderr } = await sandbox.run(process.execPath, [script], { timeout: 120_000 })
  return { status, output: stdout + stderr }
}

describe('a product that is not what it should be', () => {
  const MUTANTS: { name: string; serve: string; scenario: string; fails: RegExp[]; passes?: RegExp }[] = [
    {
      name: 'whose plugin does not restore',
      serve: '--no-restore-mounts',
      scenario: 'restore-mounts',
      fails: [/^✗ the staging path works again on the node$/m, /^✗ slave-folder-pod, after the restore: reads$/m],
      passes: /^✓ private-pod, after the restore: cannot read: /m,
    },
    {
      name: 'whose plugin does not restore, and whose workload is never restarted',
      serve: '--no-restore-mounts',
      scenario: 'restore-mounts-exit-on-error',
      fails: [/^✗ the restart succeeds$/m],
      passes: /^✓ the restart fails while the mount is dead: /m,
    },
    {
      name: 'whose plugin restores though it must not',
      serve: '--restore-mounts',
      scenario: 'plugin-restart',
      fails: [/^✗ the staging path is dead on the node$/m],
    },
    {
      name: 'whose daemon outlives the plugin, so that nothing dies',
      serve: '--fuse-host detached',
      scenario: 'plugin-restart',
      fails: [/^✗ its FUSE daemon died with it, as in one container$/m, /^✗ dummy-fuse-pod, after the kill: cannot read$/m],
    },
    {
      name: 'whose plugin trusts daemons where it must wait for them',
      serve: '--daemonize early',
      scenario: 'mount-fails-unnoticed',
      fails: [/^✗ NodeStageVolume with a waiting parent$/m],
    },
  ]
  for (const { name, serve, scenario, fails, passes } of MUTANTS) {
    it(`makes the scenario ${scenario} fail: one ${name}`, async () => {
      await using sandbox = new Sandbox()
      const { status, output } = await labWith(sandbox, { serve }, [scenario])
      assert.equal(status, 1, output)
      for (const line of fails) assert.match(output, line)
      if (passes !== undefined) assert.match(output, passes)
      assert.match(output, new RegExp(`^${scenario} .* not as expected$`, 'm'))
    })
  }
})

describe('a cell with a product that is not what it should be', () => {
  async function cellOf(mutation: Mutation, failure: string, mitigation: string, ...more: string[]): Promise<Cell> {
    await using sandbox = new Sandbox()
    const json = join(sandbox.path, 'seen.json')
    const { status, output } = await labWith(sandbox, mutation, [
      '--failure',
      failure,
      '--mitigation',
      mitigation,
      '--json',
      json,
      ...more,
    ])
    assert.equal(status, 1, output)
    const [cell] = (JSON.parse(readFileSync(json, 'utf8')) as LabRecord).cells
    if (cell === undefined) throw new Error(output)
    return cell
  }

  /** The first of so many cells at the most that is not as modelled, where that is a matter of chance. */
  async function differingCellOf(attempts: number, ...cell: Parameters<typeof cellOf>): Promise<Cell> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await cellOf(...cell)
      } catch (error) {
        if (attempt === attempts) throw error
      }
    }
  }

  /** The consumers that the model names, with what each must be seen as. */
  function seen(cell: Cell): Record<string, string> {
    const differing = cell.consumers.filter(
      ({ seen, expected, alsoExpected }) => seen !== expected && alsoExpected?.includes(seen) !== true,
    )
    return Object.fromEntries(differing.map(({ consumer, seen }) => [consumer, seen]))
  }

  it('is worse in all that restored mounts bring where the plugin does not restore', async () => {
    const cell = await cellOf({ serve: '--no-restore-mounts' }, 'plugin-killed', 'restore')
    assert.equal(cell.verdict, 'worse', cell.why)
    assert.deepEqual(seen(cell), { 'opens-anew': 'errors', 'slave-folder': 'errors', 'exits-on-error': 'errors' })
  })

  it('is better where the plugin restores though it must not: that is a finding, too', async () => {
    // A pod that starts after the failure waits for the restore, and starts late on a busy machine.
    const kinds = 'keeps-open,opens-anew,mapped,cwd,private,slave-folder,exits-on-error'
    const cell = await cellOf({ serve: '--restore-mounts' }, 'plugin-killed', 'none', '--consumer', kinds)
    assert.equal(cell.verdict, 'better', cell.why)
    // One that is started again may still be on its way on a busy machine.
    assert.deepEqual(
      Object.keys(seen(cell)).filter((consumer) => consumer !== 'exits-on-error'),
      ['opens-anew', 'slave-folder'],
    )
  })

  it("has every pod on the node's own disk where the parent does not wait", async () => {
    const cell = await cellOf({ serve: '--daemonize early' }, 'mount-late', 'waiting-parent')
    assert.equal(cell.verdict, 'worse', cell.why)
    const outcomes = seen(cell)
    assert.equal(Object.keys(outcomes).length, 10)
    assert.equal(outcomes.private, 'writes-to-host')
    assert.ok(cell.consumers.every(({ wroteToNode }) => wroteToNode))
    assert.ok(cell.evidence.disk.some((path) => path.endsWith('/globalmount/written-by-a-consumer')))
  })

  it('shows what an entry brings back that was not removed from the mount cache', async () => {
    const source = {
      file: 'src/volumes/publisher.ts',
      from: 'if (entry !== undefined) this.#cache.remove(',
      to: 'void (',
    }
    // One consumer is enough here. On a busy machine the lab may have seen it recover before the other target is mounted again.
    const cell = await differingCellOf(4, { source }, 'plugin-killed', 'restore', '--consumer', 'opens-anew')
    assert.equal(cell.verdict, 'worse', cell.why)
    assert.match(cell.why ?? '', /the volume is mounted again at .*, where it was unpublished before the failure/)
  })

  it('is worse where the successor does not have requests sent again', async () => {
    // Whether a request is with the daemon at the very moment of its death is a matter of chance: readers without a pause make it likely.
    const mutation = { fused: '--inject no-resend', consumer: '--interval 0' }
    const lost = await differingCellOf(8, mutation, 'daemon-killed', 'keep')
    assert.equal(lost.verdict, 'worse', lost.why)
    const outcomes = Object.entries(seen(lost))
    // A pod that the kubelet starts meanwhile may come after the dead session was replaced, and on a busy machine a later one too.
    const late = outcomes.filter(([consumer, outcome]) => consumer.startsWith('starts-') && outcome === 'starts-late')
    const dead = outcomes.filter(([, outcome]) => outcome === 'hangs' || outcome === 'errors')
    assert.ok(dead.length > 0 && dead.length + late.length === outcomes.length, lost.why)
  })
})
