import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { childrenOf } from '../../src/os/processes/child-processes.ts'
import { processStat } from '../../src/os/processes/processes.ts'
import { shieldAt } from '../../src/shield/control-folder.ts'
import { umountLazily } from '../support/mounts.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { fill, runShield, Shielded, ShieldedReader, ShieldedWriter, type ShieldJson, shieldStatus } from '../support/shield.ts'
import { eventually } from '../support/wait.ts'

/** A daemon that starts only while a file is there, and says so. */
function wishful(sandbox: Sandbox, folder: string): { readonly wish: string; readonly command: readonly string[] } {
  const wish = join(sandbox.path, 'wish')
  writeFileSync(wish, '')
  return {
    wish,
    command: ['sh', '-c', `test -e ${wish} || exit 7; echo the daemon starts >&2; exec bindfs -f ${folder} "$0"`, '{target}'],
  }
}

/** The state of a shield once its daemon with this number serves. */
async function serving(sandbox: Sandbox, mountpoint: string, incarnation: number): Promise<ShieldJson> {
  return await eventually(
    `daemon ${incarnation} serves`,
    async () => {
      const now = await shieldStatus(sandbox, mountpoint)
      return now.state === 'serving' && now.incarnation === incarnation ? now : undefined
    },
    120_000,
  )
}

/** A folder with one file. */
function folderWith(sandbox: Sandbox, name: string, content: string): string {
  const folder = sandbox.directory(name)
  writeFileSync(join(folder, 'f'), content)
  return folder
}

describe('shield --background', () => {
  it('returns when the mount stands, logs what the daemon says, and is stopped by stop', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const { command, wish } = wishful(sandbox, folderWith(sandbox, 'filled', 'text'))
    const [mountpoint, temporary, log] = [sandbox.directory('mount'), sandbox.directory('temporary'), join(sandbox.path, 'log')]
    const args = ['shield', '--background', '--log-file', log, mountpoint, '--', ...command]
    const started = await sandbox.run(EXECUTABLE, args, { env: { ...process.env, TMPDIR: temporary }, timeout: 120_000 })
    assert.deepEqual([started.status, started.stdout], [0, ''], started.stderr)
    assert.equal((await sandbox.run('cat', [join(mountpoint, 'f')])).stdout, 'text')
    const first = await shieldStatus(sandbox, mountpoint)
    assert.ok(first.daemon != null)
    process.kill(first.daemon.pid, 'SIGKILL')
    assert.equal((await sandbox.run('cat', [join(mountpoint, 'f')], { timeout: 120_000 })).stdout, 'text')
    const logged = /ended with SIGKILL; it is started again\n[^]* sh: the daemon starts\n/
    await eventually('the log says so', () => logged.test(readFileSync(log, 'utf8')))

    process.kill(first.pid, 'SIGKILL')
    const successor = await serving(sandbox, mountpoint, 3)
    assert.notEqual(successor.pid, first.pid)
    assert.deepEqual(successor.keeper, first.keeper)
    assert.equal(successor.keeper?.name, 'dummy-fuse-keep')
    assert.deepEqual([successor.restarts, successor.deaths], [1, 1])
    assert.equal((await sandbox.run('cat', [join(mountpoint, 'f')])).stdout, 'text')
    const ofSuccessor = / over from a shield that was killed\n[^]* sh: the daemon starts\n/
    await eventually('the log has what the successor and its daemon say', () => ofSuccessor.test(readFileSync(log, 'utf8')))

    const stopped = await runShield(sandbox, 'stop', mountpoint)
    assert.deepEqual([stopped.status, stopped.stderr], [0, ''])
    for (const pid of [successor.pid, successor.keeper.pid ?? 0]) assert.equal(processStat(pid), undefined)
    assert.deepEqual(sandbox.mounts(), [])
    assert.deepEqual(readdirSync(temporary), [])
    assert.equal(shieldAt(mountpoint), undefined)
    rmSync(wish)
  })

  const FAILS: Readonly<Record<string, readonly [command: readonly string[], status: number, said: RegExp]>> = {
    'a daemon that ends': [
      ['sh', '-c', 'echo why >&2; exit 3', '{target}'],
      1,
      /^why\n.* ended with exit status 3 before it had mounted/,
    ],
    'a program that is not there': [['no-such-daemon', '{target}'], 1, /^dummy-shield: no-such-daemon does not exist/],
  }
  for (const [what, [command, status, said]] of Object.entries(FAILS))
    it(`fails with the message and the status of ${what}`, async () => {
      await using sandbox = new Sandbox()
      const [mountpoint, temporary] = [sandbox.directory('mount'), sandbox.directory('temporary')]
      const env = { ...process.env, TMPDIR: temporary }
      const result = await sandbox.run(EXECUTABLE, ['shield', '--background', mountpoint, '--', ...command], {
        env,
        timeout: 120_000,
      })
      assert.equal(result.status, status, result.stderr)
      assert.match(result.stderr, said)
      assert.deepEqual([sandbox.mounts(), readdirSync(temporary), shieldAt(mountpoint)], [[], [], undefined])
    })
})

describe('shield status', () => {
  it('tells of a daemon that serves, of one that does not start, and of a covered mount', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const { command, wish } = wishful(sandbox, folderWith(sandbox, 'filled', 'text'))
    const shielded = await Shielded.start(sandbox, command, ['--read-only', '--stable-inodes'])
    const { mountpoint } = shielded
    const holder = sandbox.start('sh', ['-c', 'exec 3<"$1"; echo ready; read wait', 'sh', join(mountpoint, 'f')])
    await eventually('the file is held', () => holder.output() === 'ready\n')
    const first = await shieldStatus(sandbox, mountpoint)
    assert.deepEqual(
      [first.mountpoint, first.state, first.mount, first.pid, first.daemon?.pid, first.away],
      [mountpoint, 'serving', 'there', shielded.shield, shielded.daemon, null],
    )
    assert.deepEqual([first.incarnation, first.restarts, first.upgrades, first.deaths, first.openFiles], [1, 0, 0, 0, 1])
    assert.deepEqual(first.options, { readOnly: true, stableInodes: true, user: null, holder: null, giveUp: 300 })
    assert.deepEqual([first.command, first.keeper], [command, { name: 'dummy-fuse-keep', pid: shielded.running.pid }])

    rmSync(wish)
    shielded.killAtOnce()
    const away = await eventually('the daemon does not start', async () => {
      const now = await shieldStatus(sandbox, mountpoint)
      return now.away?.why === 'it ended with exit status 7' ? now : undefined
    })
    assert.deepEqual([away.state, away.daemon, away.incarnation], ['away', null, 1])
    const text = await runShield(sandbox, 'status', mountpoint)
    assert.match(text.stdout, /: away\n[^]*daemon {4}none serves\n {2}away {6}for [0-9.]+ s: it ended with exit status 7/)
    writeFileSync(wish, '')
    await eventually('it serves again', async () => (await shieldStatus(sandbox, mountpoint)).state === 'serving', 120_000)

    assert.equal((await sandbox.run('mount', ['-t', 'tmpfs', 'none', mountpoint])).status, 0)
    assert.equal((await shieldStatus(sandbox, mountpoint)).mount, 'covered')
    umountLazily(mountpoint)
    const all = JSON.parse((await runShield(sandbox, 'status', '--json')).stdout) as { shields: readonly ShieldJson[] }
    assert.deepEqual(
      all.shields.filter((one) => one.mountpoint === mountpoint).map(({ state }) => state),
      ['serving'],
    )
    holder.child.stdin?.end()
    await holder.ended
    await shielded.stop(sandbox)
  })

  it(
    'says that a shield hangs, which stop cannot end, that one has a successor, and that one has none, whose place is free',
    { timeout: 280_000 },
    async () => {
      await using sandbox = new Sandbox()
      const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folderWith(sandbox, 'filled', 'text'), '{target}'])
      const { mountpoint, running } = shielded
      const hang = async (): Promise<number> => {
        const { shield } = shielded
        assert.ok(shield !== undefined)
        // It would kill a shield that is stopped for longer than three seconds.
        process.kill(running.pid, 'SIGSTOP')
        process.kill(shield, 'SIGSTOP')
        await eventually('the shield is stopped', () => processStat(shield)?.state === 'T')
        return shield
      }
      const first = await hang()
      const hung = await sandbox.run(EXECUTABLE, ['shield', 'status', '--wait', '0.5', mountpoint])
      assert.deepEqual([hung.status, hung.stdout], [1, `${mountpoint}: hung: process ${first}, the shield, does not answer\n`])
      const kept = await sandbox.run(EXECUTABLE, ['shield', 'stop', '--wait', '0.5', mountpoint])
      assert.equal(kept.status, 1)
      assert.match(
        kept.stderr,
        new RegExp(
          `process ${first}, the shield, has not ended within 0.5 s and does not answer; kill -9 ${first}, then call again`,
        ),
      )
      process.kill(first, 'SIGKILL')
      process.kill(running.pid, 'SIGCONT')
      const { pid, deaths } = await serving(sandbox, mountpoint, 2)
      assert.deepEqual([pid, deaths], [shielded.shield, 1])
      const text = (await runShield(sandbox, 'status', mountpoint)).stdout
      assert.match(
        text,
        new RegExp(
          `process ${pid} since .*, the successor of one that was killed\n +keeper +dummy-fuse-keep, process ${running.pid}\n`,
        ),
      )

      const last = await hang()
      running.child.kill('SIGKILL')
      await eventually('the keeper has ended', () => processStat(running.pid) === undefined)
      process.kill(last, 'SIGKILL')
      await running.ended
      const killed = await runShield(sandbox, 'status', mountpoint)
      assert.deepEqual([killed.status, killed.stdout.includes(': killed: ')], [1, true], killed.stdout)
      assert.match((await runShield(sandbox, 'stop', mountpoint)).stderr, /was killed; umount /)
      umountLazily(mountpoint)
      for (const name of readdirSync(join(sandbox.path, 'temporary')))
        rmSync(join(sandbox.path, 'temporary', name), { recursive: true })
      const next = await Shielded.start(sandbox, ['bindfs', '-f', join(sandbox.path, 'filled'), '{target}'])
      assert.equal((await shieldStatus(sandbox, mountpoint)).pid, next.shield)
      await next.stop(sandbox)
    },
  )

  it('keeps two shields of one mount point apart, in one mount namespace and in two', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const empty = sandbox.directory('empty')
    const mountpoint = sandbox.directory('shielded')
    const args = ['shield', mountpoint, '--', 'bindfs', '-f', empty, '{target}']
    const env = { ...process.env, TMPDIR: sandbox.directory('other-temporary') }
    const other = sandbox.start('unshare', ['--mount', '--propagation', 'private', EXECUTABLE, ...args], { env })
    await eventually('the other serves', () => other.output().includes(' serves '))
    const shielded = await Shielded.start(sandbox, args.slice(3))
    const all = JSON.parse((await runShield(sandbox, 'status', '--json')).stdout) as { shields: readonly ShieldJson[] }
    const both = all.shields.filter((one) => one.mountpoint === mountpoint)
    assert.equal(new Set(both.map(({ mountNamespace }) => mountNamespace)).size, 2)
    assert.equal((await shieldStatus(sandbox, mountpoint)).pid, shielded.shield)
    const again = await sandbox.run(EXECUTABLE, args)
    assert.equal(again.status, 6)
    assert.match(again.stderr, new RegExp(`process ${shielded.shield} is the shield of this mount point; stop it first`))
    other.child.kill('SIGTERM')
    assert.equal((await other.ended).status, 0)
    await shielded.stop(sandbox)
  })
})

describe('shield stop', () => {
  it('takes the mount away from those who use it, and says so', async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folderWith(sandbox, 'filled', 'text'), '{target}'])
    const holder = sandbox.start('sh', ['-c', 'exec 3<"$1"; echo ready; read wait', 'sh', join(shielded.mountpoint, 'f')])
    await eventually('the file is held', () => holder.output() === 'ready\n')
    const stopped = await runShield(sandbox, 'stop', shielded.mountpoint)
    assert.deepEqual(
      [stopped.status, stopped.stdout],
      [0, `${shielded.mountpoint}: files that were open, and whose users get errors: 1\n`],
    )
    assert.equal((await shielded.running.ended).status, 0)
    shielded.assertGone(sandbox)
    holder.child.stdin?.end()
    await holder.ended
  })

  it('ends a shield that has a notification in the kernel, which waits for a read that the daemon does not answer', async () => {
    await using sandbox = new Sandbox()
    const daemon = join(import.meta.dirname, '../support/holding-daemon.py')
    const shielded = await Shielded.start(sandbox, ['python3', daemon, '{target}'], ['--read-only'])
    const { shield = 0 } = shielded
    const reader = sandbox.start('cat', [join(shielded.mountpoint, 'f')])
    // In state D no signal ends it.
    const states = (): readonly (string | undefined)[] =>
      readdirSync(`/proc/${shield}/task`).map((thread) => processStat(Number(thread))?.state)
    await eventually('a thread of the shield waits in the kernel', () => states().includes('D'))
    const stopped = await runShield(sandbox, 'stop', shielded.mountpoint)
    assert.deepEqual([stopped.status, stopped.stderr], [0, ''])
    assert.equal((await shielded.running.ended).status, 0)
    shielded.assertGone(sandbox)
    assert.equal((await reader.ended).status, 1)
  })

  it('forgets a shield that was killed and has no successor of its service manager', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const [mountpoint, folder] = [sandbox.directory('mount'), folderWith(sandbox, 'filled', 'text')]
    const args = ['keep', '--watchdog', '0', EXECUTABLE, 'shield', mountpoint, '--', 'bindfs', '-f', folder, '{target}']
    const kept = sandbox.start(EXECUTABLE, args, { env: { ...process.env, TMPDIR: sandbox.directory('temporary') } })
    await eventually('it serves', () => kept.output().includes(' serves '))
    const { pid, keeper } = await shieldStatus(sandbox, mountpoint)
    assert.deepEqual(keeper, { name: 'keep', pid: null })
    process.kill(pid, 'SIGSTOP')
    kept.child.kill('SIGKILL')
    await eventually('keep has ended', () => processStat(kept.pid) === undefined)
    process.kill(pid, 'SIGKILL')
    await kept.ended
    const stopped = await sandbox.run(EXECUTABLE, ['shield', 'stop', '--wait', '0.5', mountpoint])
    assert.equal(stopped.status, 1)
    assert.match(
      stopped.stderr,
      new RegExp(`process ${pid}, the shield, was killed, and has no successor; umount ${mountpoint} if`),
    )
    assert.equal(shieldAt(mountpoint), undefined)
    umountLazily(mountpoint)
  })
})

describe('shield upgrade', () => {
  it('replaces bindfs again and again under readers and a writer: no error, nothing resent', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('filled')
    fill(folder)
    sandbox.directory('filled', 'written')
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'])
    const { mountpoint } = shielded
    const reader = await ShieldedReader.start(sandbox, mountpoint)
    const writer = new ShieldedWriter(sandbox, join(mountpoint, 'written'))
    const other = ['--', 'bindfs', '-f', '-o', 'fsname=other', folder, '{target}']
    for (let count = 1; count <= 5; count++) {
      const before = shielded.daemon
      const upgraded = await runShield(sandbox, 'upgrade', '--drain', '120', mountpoint, ...(count % 2 === 0 ? other : []))
      assert.deepEqual([upgraded.status, upgraded.stderr], [0, ''])
      assert.match(
        upgraded.stdout,
        new RegExp(`serves, as daemon ${count + 1}; requests held: \\d+, for [0-9.]+ ms at the most; resent: 0; `),
      )
      assert.equal(processStat(before ?? 0), undefined)
      await reader.check()
      await writer.goesOn()
    }
    await reader.end()
    await writer.end()
    const { incarnation, restarts, upgrades, requests, command } = await shieldStatus(sandbox, mountpoint)
    assert.deepEqual([incarnation, restarts, upgrades, requests.resent, requests.stale], [6, 0, 5, 0, 0])
    assert.ok(command.includes('fsname=other'))
    // Restarts use the new command.
    await shielded.killDaemon()
    assert.match(readFileSync(`/proc/${shielded.daemon}/cmdline`, 'utf8'), /fsname=other/)
    await shielded.stop(sandbox)
  })

  it('shows what another daemon serves, in spite of what the kernel has cached', async () => {
    await using sandbox = new Sandbox()
    const [before, after] = [folderWith(sandbox, 'before', 'old'), folderWith(sandbox, 'after', 'new')]
    writeFileSync(join(after, 'added'), 'added')
    const command = (folder: string): readonly string[] => [
      'bindfs',
      '-f',
      '-o',
      'attr_timeout=3600,entry_timeout=3600,negative_timeout=3600',
      folder,
      '{target}',
    ]
    const shielded = await Shielded.start(sandbox, command(before), ['--read-only'])
    const file = join(shielded.mountpoint, 'f')
    const added = join(shielded.mountpoint, 'added')
    assert.equal((await sandbox.run('cat', [file])).stdout, 'old')
    assert.equal((await sandbox.run('cat', [added])).status, 1)
    const upgraded = await runShield(sandbox, 'upgrade', shielded.mountpoint, '--', ...command(after))
    assert.equal(upgraded.status, 0, upgraded.stderr)
    assert.equal((await sandbox.run('cat', [file])).stdout, 'new')
    assert.equal((await sandbox.run('cat', [added])).stdout, 'added')
    await shielded.stop(sandbox)
  })

  it(
    'starts the new daemon after the old one with --stop-first, and the old one again if that fails',
    { timeout: 280_000 },
    async () => {
      await using sandbox = new Sandbox()
      const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folderWith(sandbox, 'filled', 'text'), '{target}'])
      const file = join(shielded.mountpoint, 'f')
      const reader = sandbox.start('sh', ['-c', 'exec 3<"$1"; echo ready; read wait; cat <&3', 'sh', file])
      await eventually('the file is held', () => reader.output() === 'ready\n')
      const upgraded = await runShield(sandbox, 'upgrade', '--stop-first', shielded.mountpoint)
      assert.deepEqual([upgraded.status, upgraded.stderr], [0, ''])
      const refused = await runShield(sandbox, 'upgrade', '--stop-first', shielded.mountpoint, '--', 'false', '{target}')
      assert.match(refused.stderr, /refused: the new daemon ended with exit status 1 before it served/)
      reader.child.stdin?.end('\n')
      assert.equal((await reader.ended).stdout, 'ready\ntext')
      const { command, upgrades, requests } = await shieldStatus(sandbox, shielded.mountpoint)
      assert.deepEqual([command[0], upgrades, requests.resent], ['bindfs', 1, 0])
      await shielded.stop(sandbox)
    },
  )

  it('ends the wait for a daemon that does not start by another command', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const folder = folderWith(sandbox, 'filled', 'text')
    const { command, wish } = wishful(sandbox, folder)
    const shielded = await Shielded.start(sandbox, command)
    rmSync(wish)
    shielded.killAtOnce()
    const reader = sandbox.start('cat', [join(shielded.mountpoint, 'f')])
    await eventually('the daemon does not start', async () => (await shieldStatus(sandbox, shielded.mountpoint)).restarts >= 2)
    const upgraded = await runShield(sandbox, 'upgrade', shielded.mountpoint, '--', 'bindfs', '-f', folder, '{target}')
    assert.deepEqual([upgraded.status, upgraded.stderr], [0, ''])
    assert.equal((await reader.ended).stdout, 'text')
    await shielded.stop(sandbox)
  })

  it('is refused, and the old daemon goes on, if the new one cannot take over', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const folder = folderWith(sandbox, 'filled', 'text')
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'])
    const { mountpoint, daemon } = shielded
    const file = join(mountpoint, 'f')
    const refused: Readonly<Record<string, readonly [args: readonly string[], status: number, said: RegExp]>> = {
      'another agreement': [
        [DUMMY_FUSE, '-f', '-o', 'allow_other,default_permissions', '{target}'],
        1,
        /refused: the new daemon has agreed on .*, where the mount lives with /,
      ],
      'other mount options': [
        ['bindfs', '-f', '-o', 'noatime', folder, '{target}'],
        1,
        /refused: the new daemon asks for the mount options /,
      ],
      'a daemon that ends': [['false', '{target}'], 1, /refused: the new daemon ended with exit status 1 before it served/],
      'a daemon that loses writes': [['sshfs', '-f', 'a:/', '{target}'], 1, /refused: sshfs may lose a write .* not read-only/],
      'a program that is not there': [['no-such-daemon', '{target}'], 1, /no-such-daemon does not exist/],
      'no target': [['bindfs', '-f', folder], 2, /has \{target\}/],
    }
    for (const [what, [command, status, said]] of Object.entries(refused)) {
      const result = await runShield(sandbox, 'upgrade', mountpoint, '--', ...command)
      assert.equal(result.status, status, what)
      assert.match(result.stderr, said)
    }
    const late = ['upgrade', '--wait', '0.5', mountpoint, '--', 'sh', '-c', 'exec sleep 3600', '{target}']
    assert.match(
      (await sandbox.run(EXECUTABLE, ['shield', ...late])).stderr,
      /refused: the new daemon has not answered INIT within 0.5 s/,
    )
    assert.equal((await sandbox.run('cat', [file])).stdout, 'text')
    assert.deepEqual(
      childrenOf(shielded.shield ?? 0).filter((pid) => processStat(pid) !== undefined),
      [daemon],
    )
    assert.equal(readdirSync(join(sandbox.path, 'temporary')).length, 1)
    await shielded.stop(sandbox)
  })

  it('is refused, and the old daemon goes on, if the old one owes an answer', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folderWith(sandbox, 'filled', 'text'), '{target}'])
    const { mountpoint, daemon } = shielded
    assert.ok(daemon !== undefined)
    process.kill(daemon, 'SIGSTOP')
    await eventually('the daemon is stopped', () => processStat(daemon)?.state === 'T')
    const reader = sandbox.start('cat', [join(mountpoint, 'f')])
    await eventually('the reader waits', async () => ((await shieldStatus(sandbox, mountpoint)).requests.inFlight ?? 0) > 0)
    const refused = await runShield(sandbox, 'upgrade', '--drain', '0.5', mountpoint)
    assert.equal(refused.status, 1)
    assert.match(
      refused.stderr,
      new RegExp(
        `refused: the old daemon has not answered within 0.5 s; requests without an answer: 1, of the processes ${reader.pid}`,
      ),
    )
    process.kill(daemon, 'SIGCONT')
    assert.equal((await reader.ended).stdout, 'text')
    assert.deepEqual([shielded.daemon, (await shieldStatus(sandbox, mountpoint)).requests.resent], [daemon, 0])
    await shielded.stop(sandbox)
  })
})

describe('shield that is killed', () => {
  it('goes on with the command of the last upgrade, and can be upgraded again', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const [before, after] = [folderWith(sandbox, 'before', 'old'), folderWith(sandbox, 'after', 'new')]
    const command = (folder: string): readonly string[] => ['bindfs', '-f', folder, '{target}']
    const shielded = await Shielded.start(sandbox, command(before), ['--read-only'])
    const { mountpoint } = shielded
    const file = join(mountpoint, 'f')
    const upgraded = await runShield(sandbox, 'upgrade', mountpoint, '--', ...command(after))
    assert.equal(upgraded.status, 0, upgraded.stderr)
    const holder = sandbox.start('sh', ['-c', 'exec 3<"$1"; echo ready; read wait; cat <&3', 'sh', file])
    await eventually('the file is held', () => holder.output() === 'ready\n')
    await shielded.kill(['shield'])
    holder.child.stdin?.end('\n')
    assert.equal((await holder.ended).stdout, 'ready\nnew')
    const again = await runShield(sandbox, 'upgrade', mountpoint)
    assert.equal(again.status, 0, again.stderr)
    assert.equal((await sandbox.run('cat', [file])).stdout, 'new')
    const status = await shieldStatus(sandbox, mountpoint)
    assert.deepEqual([status.command, status.incarnation, status.upgrades, status.deaths], [command(after), 4, 2, 1])
    await shielded.stop(sandbox)
  })

  it('goes on with the old command during an upgrade, and leaves nothing of the new daemon', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const command = ['bindfs', '-f', folderWith(sandbox, 'filled', 'text'), '{target}']
    const shielded = await Shielded.start(sandbox, command)
    const { mountpoint } = shielded
    const started = join(sandbox.path, 'started')
    const words = ['sh', '-c', `sleep 3600 & echo $! >${started}; wait`, '{target}']
    const upgrading = runShield(sandbox, 'upgrade', mountpoint, '--', ...words)
    const group = await eventually(
      'the new daemon is there',
      () => existsSync(started) && readFileSync(started, 'utf8').trim(),
      120_000,
    )
    await shielded.kill(['shield'])
    const { status: failed, stderr } = await upgrading
    assert.equal(failed, 1)
    assert.match(stderr, /has ended before it has answered; 'shield status .*' shows whether another goes on/)
    assert.equal((await sandbox.run('cat', [join(mountpoint, 'f')])).stdout, 'text')
    await eventually('what the new daemon has started has ended', () => processStat(Number(group)) === undefined)
    const status = await shieldStatus(sandbox, mountpoint)
    assert.deepEqual([status.command, status.upgrades, status.deaths], [command, 0, 1])
    assert.equal(readdirSync(join(sandbox.path, 'temporary')).length, 1)
    await shielded.stop(sandbox)
  })
})

describe('the successor of a shield', () => {
  it(
    'serves when the shield is killed after an upgrade to another command that answers a read late',
    { timeout: 280_000 },
    async () => {
      await using sandbox = new Sandbox()
      const wish = join(sandbox.path, 'wish')
      writeFileSync(wish, '')
      const command = (words: string): readonly string[] => ['sh', '-c', `${words} exec ${DUMMY_FUSE} -f "$@" "$0"`, '{target}']
      const shielded = await Shielded.start(sandbox, command(`test -e ${wish} || exit 7;`), ['--read-only'])
      const { mountpoint } = shielded
      const file = join(mountpoint, 'dummy-file.txt')
      const reader = sandbox.start('sh', ['-c', 'exec 3<"$1"; echo ready; read wait; cat <&3', 'sh', file])
      await eventually('the file is held', () => reader.output() === 'ready\n')
      rmSync(wish)
      shielded.killAtOnce()
      await eventually('no daemon serves', async () => (await shieldStatus(sandbox, mountpoint)).state === 'away')
      reader.child.stdin?.end('\n')
      const waits = async (): Promise<boolean> => (await shieldStatus(sandbox, mountpoint)).requests.inFlight === 1
      await eventually('the reader waits', waits)
      const late = command('set -- --inject read-delay=3600;')
      const upgraded = await runShield(sandbox, 'upgrade', '--drain', '1', mountpoint, '--', ...late)
      assert.equal(upgraded.status, 0, upgraded.stderr)
      await shielded.kill(['shield'])
      await eventually('the reader waits again', waits)
      await shielded.stop(sandbox)
      assert.equal((await reader.ended).stdout, 'ready\n')
    },
  )

  it('refuses a daemon with other mount options than those of the mount', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const [mountpoint, folder] = [sandbox.directory('mount'), folderWith(sandbox, 'filled', 'text')]
    const words = join(sandbox.path, 'words')
    const choose = (options: string): void => writeFileSync(words, `-f ${options}`)
    choose('')
    const script = 'exec "$0" shield "$1" -- bindfs $(cat "$2") "$3" {target}'
    const args = ['keep', 'sh', '-c', script, EXECUTABLE, mountpoint, words, folder]
    const kept = sandbox.start(EXECUTABLE, args, { env: { ...process.env, TMPDIR: sandbox.directory('temporary') } })
    await eventually('it serves', () => kept.output().includes(' serves '))
    const kill = async (): Promise<void> => {
      process.kill((await shieldStatus(sandbox, mountpoint)).pid, 'SIGKILL')
    }
    choose('-o noatime')
    await kill()
    const said = /asks for the mount options .*, where the mount lives with .*; it is killed; to have other options, stop/
    await eventually('the daemon is refused', () => said.test(kept.output()), 120_000)
    const { state, away } = await shieldStatus(sandbox, mountpoint)
    assert.deepEqual([state, away?.why.startsWith('it asks for the mount options ')], ['away', true])
    choose('')
    await kill()
    assert.equal((await sandbox.run('cat', [join(mountpoint, 'f')], { timeout: 120_000 })).stdout, 'text')
    kept.child.kill('SIGTERM')
    assert.equal((await kept.ended).status, 0)
    assert.deepEqual(sandbox.mounts(), [])
  })
})

describe('the words of shield', () => {
  const WRONG: Readonly<Record<string, readonly [args: readonly string[], status: number, said: RegExp]>> = {
    'a mount point that is called status': [
      ['status', '--', 'bindfs', '{target}'],
      2,
      /shield status takes no command; write \.\/status for a/,
    ],
    'a mount point that is called upgrade': [
      ['upgrade', '--', 'bindfs', '{target}'],
      2,
      /no mount point before --; write \.\/upgrade for a/,
    ],
    'two mount points': [['stop', '/a', '/b'], 2, /too many arguments.* \/a, \/b.*there are .*--wait/],
    'an unknown option': [['status', '--jsno'], 2, /unknown option '--jsno'.*there are .*--json, --wait/],
    'no mount point': [['stop'], 2, /missing required argument 'mountpoint'/],
    'no command behind --': [['upgrade', '/a', '--'], 2, /there is no command behind --/],
    'a mount point without a shield': [['stop', '/'], 1, /there is no shield of this mount point/],
  }
  for (const [what, [args, status, said]] of Object.entries(WRONG))
    it(`refuse ${what}`, async () => {
      await using sandbox = new Sandbox()
      const result = await sandbox.run(EXECUTABLE, ['shield', ...args])
      assert.equal(result.status, status, result.stderr)
      assert.match(result.stderr, said)
    })

  it('can be a mount point', async () => {
    await using sandbox = new Sandbox()
    const mountpoint = sandbox.directory('status')
    const command = ['--', 'bindfs', '-f', folderWith(sandbox, 'filled', 'text'), '{target}']
    const env = { ...process.env, TMPDIR: sandbox.directory('temporary') }
    const running = sandbox.start(EXECUTABLE, ['shield', './status', ...command], { cwd: sandbox.path, env })
    await eventually('it serves', () => running.output().includes(' serves '))
    const stopped = await sandbox.run(EXECUTABLE, ['shield', 'stop', '--wait', '120', 'status'], {
      cwd: sandbox.path,
      timeout: 150_000,
    })
    assert.deepEqual([stopped.status, stopped.stderr], [0, ''])
    assert.equal((await running.ended).status, 0)
    assert.ok(!existsSync(join(mountpoint, 'f')))
  })
})
