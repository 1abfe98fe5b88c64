import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Verdict } from '../../src/lab/mount-command/cases.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Seconds that a command has: none here needs them all, and on a busy machine a program may start late. */
const WAIT = '60'

interface Run {
  readonly status: number | null
  readonly verdicts: Readonly<Record<string, Verdict>>
}

/** `lab mount --json` of a shell's line: $0 is a folder, $1 the target. */
async function mountOf(sandbox: Sandbox, line: string, only: readonly string[], more: readonly string[] = []): Promise<Run> {
  return await run(sandbox, ['sh', '-c', line, source(sandbox), '{target}'], only, more)
}

async function run(
  sandbox: Sandbox,
  command: readonly string[],
  only: readonly string[],
  more: readonly string[] = [],
): Promise<Run> {
  const chosen = only.flatMap((name) => ['--only', name])
  const { status, stdout, stderr } = await sandbox.run(
    EXECUTABLE,
    ['lab', 'mount', '--json', '--wait', WAIT, ...chosen, ...more, '--', ...command],
    { timeout: 280_000 },
  )
  assert.equal(stderr, '')
  const { verdicts } = JSON.parse(stdout) as { verdicts: readonly Verdict[] }
  return { status, verdicts: Object.fromEntries(verdicts.map((verdict) => [verdict.name, verdict])) }
}

function source(sandbox: Sandbox): string {
  const path = sandbox.directory('source')
  writeFileSync(join(path, 'f'), 'hello\n')
  return path
}

/** Results by name, with the issue where there is one. */
function results({ verdicts }: Run): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.values(verdicts).map(({ name, result, issue }) => [name, issue === undefined ? result : `${result} ${issue}`]),
  )
}

describe('lab mount', () => {
  it('finds bindfs well in every case, but for the descriptors that libfuse leaves open, and leaves nothing', async () => {
    await using sandbox = new Sandbox()
    const line = 'bindfs --no-such-option /srv {target}'
    const more = ['--forbidden', line, '--unreachable', 'bindfs /nowhere/at/all {target}']
    const found = await run(sandbox, ['bindfs', source(sandbox), '{target}'], [], more)
    assert.deepEqual(results(found), {
      mounts: 'well',
      descriptors: 'finding',
      'mount-takes-0.1s': 'well',
      'mount-takes-3s': 'well',
      'mount-takes-7s': 'well',
      'mount-takes-15s': 'well',
      'no-fuse-device': 'well',
      'mount-refused': 'well',
      'killed-before-init': 'well',
      'unreachable-storage': 'well',
      'forbidden-option': 'well',
      messages: 'well',
    })
    assert.match(
      found.verdicts.descriptors?.what ?? '',
      /^what it leaves keeps descriptor 3, which it has inherited of its caller$/,
    )
    assert.match(found.verdicts['no-fuse-device']?.what ?? '', /returned 1 after .* and said: .*device not found/)
    assert.equal(found.status, 1)
    assert.deepEqual([sandbox.mounts(), sandbox.processes()], [[], []])
  })

  it('finds a program in the foreground well', async () => {
    await using sandbox = new Sandbox()
    const only = ['descriptors', 'no-fuse-device', 'mount-takes-3s', 'messages']
    const found = await run(sandbox, ['bindfs', '-f', source(sandbox), '{target}'], only)
    assert.deepEqual([...new Set(Object.values(results(found)))], ['well'])
    assert.match(found.verdicts.mounts?.what ?? '', /^it serves in the foreground; the mount stood after /)
    assert.equal(found.status, 0)
  })

  it('does not take a command that returns some time after its mount stands for a program in the foreground', async () => {
    await using sandbox = new Sandbox()
    const found = await mountOf(sandbox, 'bindfs "$0" "$1"; sleep 2', ['descriptors'])
    assert.deepEqual(results(found), { mounts: 'well', descriptors: 'finding' })
    assert.match(found.verdicts.mounts?.what ?? '', /^it returned 0 after .* s, when its mount stood$/)
  })

  it('ends a command that nothing can kill: it waits in the kernel for its own mount', async () => {
    await using sandbox = new Sandbox()
    const daemon = join(import.meta.dirname, '../support/holding-daemon.py')
    // The daemon has the kernel forget what it is asked for, and waits there for its own answer.
    const line = `python3 ${daemon} "$1" & daemon=$!
      until mountpoint -q "$1"; do sleep 0.05; done
      cat "$1/f" &
      until grep -q '^State:.D' "/proc/$daemon/status"; do sleep 0.05; done`
    const { verdicts } = await mountOf(sandbox, line, ['descriptors'], ['--wait', '10'])
    // Nobody gets an answer of this mount.
    assert.equal(verdicts.mounts?.result, 'finding')
    assert.deepEqual([sandbox.mounts(), sandbox.processes()], [[], []])
  })

  it('tells #1079: a command that returns before its mount stands', async () => {
    await using sandbox = new Sandbox()
    const found = await mountOf(sandbox, '(sleep 0.7; exec bindfs -f "$0" "$1") >/dev/null 2>&1 3>&- & exit 0', [
      'mount-takes-3s',
      'descriptors',
    ])
    assert.deepEqual(results(found), { mounts: 'finding #1079', descriptors: 'well', 'mount-takes-3s': 'finding #1079' })
    assert.match(
      found.verdicts['mount-takes-3s']?.what ?? '',
      /^it returned 0 after \d\.\d\d s, and its mount stood after ([3-9]|\d\d)\.\d\d s only$/,
    )
    assert.equal(found.status, 1)
  })

  it('tells #1079 of one that waits for some time only, as a cured blobfuse2 does for 5 s', async () => {
    await using sandbox = new Sandbox()
    const line =
      'bindfs -f "$0" "$1" >/dev/null 2>&1 3>&- & end=$(($(date +%s%N) + 5000000000)); while [ "$(date +%s%N)" -lt "$end" ]; do mountpoint -q "$1" && exit 0; sleep 0.1; done; exit 0'
    const found = await mountOf(sandbox, line, ['mount-takes-3s', 'mount-takes-7s'])
    assert.deepEqual(results(found), { mounts: 'well', 'mount-takes-3s': 'well', 'mount-takes-7s': 'finding #1079' })
  })

  it('tells of one that gives up with a status, whose mount comes all the same', async () => {
    await using sandbox = new Sandbox()
    const line =
      'bindfs -f "$0" "$1" >/dev/null 2>&1 3>&- & i=0; while [ $i -lt 10 ]; do mountpoint -q "$1" && exit 0; i=$((i+1)); sleep 0.1; done; echo too slow; exit 7'
    const found = await mountOf(sandbox, line, ['mount-takes-7s'])
    assert.deepEqual(results(found), { mounts: 'well', 'mount-takes-7s': 'finding #1079' })
    assert.match(found.verdicts['mount-takes-7s']?.what ?? '', /^it returned 7 after .*, and its mount came all the same after /)
  })

  it('tells #1081: a command that returns 0 although it has failed, and one that fails without a word', async () => {
    await using sandbox = new Sandbox()
    const only = ['no-fuse-device', 'mount-refused', 'unreachable-storage', 'messages']
    const silent = 'bindfs "$0" "$1" >/dev/null 2>&1'
    const unreachable = ['--unreachable', 'echo trying {target}; exit 0']
    const zero = await mountOf(sandbox, `${silent} || true`, only, unreachable)
    assert.deepEqual(results(zero), {
      mounts: 'well',
      'no-fuse-device': 'finding #1081',
      'mount-refused': 'finding #1081',
      'unreachable-storage': 'finding #1081',
      messages: 'not run',
    })
    assert.match(
      zero.verdicts['unreachable-storage']?.what ?? '',
      /^it returned 0 after .*, and nothing was mounted, and said: trying /,
    )
    const mute = await mountOf(sandbox, silent, ['no-fuse-device', 'messages'])
    assert.deepEqual(results(mute), { mounts: 'well', 'no-fuse-device': 'well', messages: 'finding' })
    assert.equal(mute.verdicts.messages?.what, 'it returns that it has failed and says nothing: no-fuse-device')
  })

  it('tells of a command that keeps the output of its caller', async () => {
    await using sandbox = new Sandbox()
    const found = await mountOf(sandbox, 'bindfs -f "$0" "$1" & while ! mountpoint -q "$1"; do sleep 0.05; done', ['descriptors'])
    assert.equal(results(found).descriptors, 'finding')
    assert.match(found.verdicts.descriptors?.what ?? '', /keeps standard output or standard error and descriptor 3/)
  })

  it('says once that a command does not mount at all, and runs no other case', async () => {
    await using sandbox = new Sandbox()
    const found = await mountOf(sandbox, 'echo no bucket >&2; exit 4', ['mount-takes-3s', 'no-fuse-device'])
    assert.deepEqual(results(found), { mounts: 'finding', 'mount-takes-3s': 'not run', 'no-fuse-device': 'not run' })
    assert.match(found.verdicts.mounts?.what ?? '', /^nothing was mounted: it returned 4 after .*, and said: no bucket$/)
    assert.equal(found.status, 1)
  })

  it('runs the command on a node that holds no volume of the machine', async () => {
    await using sandbox = new Sandbox()
    const volume = sandbox.directory('volume')
    assert.equal((await sandbox.run(DUMMY_FUSE, [volume])).status, 0)
    const found = await mountOf(sandbox, `grep -c ' ${volume} ' /proc/self/mountinfo; exit 4`, ['no-fuse-device'])
    assert.match(found.verdicts.mounts?.what ?? '', /, and said: 0$/)
  })

  it('prints a line for each verdict, as soon as it is there', async () => {
    await using sandbox = new Sandbox()
    const program = join(sandbox.path, 'mount-it')
    writeFileSync(program, '#!/bin/sh\nexec bindfs -f "$1" "$2"\n')
    chmodSync(program, 0o755)
    const args = ['lab', 'mount', '--wait', WAIT, '--only', 'no-fuse-device', '--', './mount-it', source(sandbox), '{target}']
    const { status, stdout } = await sandbox.run(EXECUTABLE, args, { cwd: sandbox.path })
    assert.match(stdout, /^well {7}mounts {15}it serves in the foreground; .*\nwell {7}no-fuse-device {7}it returned 1 after .*\n$/)
    assert.equal(status, 0)
  })

  it('refuses wrong words', async () => {
    await using sandbox = new Sandbox()
    for (const [args, line] of [
      [[], /no command given; it comes after --/],
      [['--', 'bindfs', '/srv'], /the command has no \{target\}/],
      [['--unreachable', 'x', '--', 'fs', '{target}'], /--unreachable has no \{target\}/],
      [['--only', 'nothing', '--', 'fs', '{target}'], /--only: there is no case 'nothing'; there are mounts, mount-takes-0\.1s, /],
    ] as const) {
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'mount', ...args])
      assert.equal(status, 2)
      assert.match(stderr, line)
    }
  })
})
