import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { DAEMONS, WRITABLE } from '../support/shield-daemons.ts'
import {
  assertNothingHidden,
  fill,
  killWaitingConsumers,
  requestsOf,
  Shielded,
  ShieldedHolder,
  ShieldedReader,
  ShieldedWriter,
} from '../support/shield.ts'
import { layersAt, mountAt, umountLazily } from '../support/mounts.ts'
import { eventually } from '../support/wait.ts'

const KILLS = 3

describe('shield', () => {
  for (const [name, prepare] of Object.entries(DAEMONS)) {
    it(
      `has readers of ${name} not notice that it is killed again and again, and leaves nothing`,
      { timeout: 280_000 },
      async () => {
        await using sandbox = new Sandbox()
        const folder = sandbox.directory('filled')
        fill(folder)
        const shielded = await Shielded.start(sandbox, await prepare(sandbox, folder), ['--read-only'])
        const reader = await ShieldedReader.start(sandbox, shielded.mountpoint)
        for (let kill = 0; kill < KILLS; kill++) {
          await shielded.killDaemon()
          await reader.check()
        }
        // Without a wait for the next daemon.
        shielded.killAtOnce()
        await reader.check()
        await reader.end()
        await shielded.stop(sandbox)
      },
    )
  }

  for (const [name, command] of Object.entries(WRITABLE))
    it(`has each change by ${name} done exactly once while it is killed again and again`, { timeout: 280_000 }, async () => {
      await using sandbox = new Sandbox()
      const shielded = await Shielded.start(sandbox, command(sandbox))
      const writer = new ShieldedWriter(sandbox, shielded.mountpoint)
      for (let kill = 0; kill < 2 * KILLS; kill++) {
        await shielded.killDaemon()
        await writer.goesOn()
      }
      await writer.end()
      await shielded.stop(sandbox)
      await assertNothingHidden(sandbox)
    })

  it('keeps files that are held while they are renamed, removed or replaced, and their folder removed, and leaves nothing of them', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('written')
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'])
    const holder = await ShieldedHolder.start(sandbox, shielded.mountpoint, folder)
    for (let kill = 0; kill < 3; kill++) {
      await shielded.killDaemon()
      await holder.check()
    }
    // Closed while there is no daemon.
    shielded.killAtOnce()
    await holder.end()
    // A file that is held to the end.
    const last = sandbox.start('sh', ['-c', 'exec 3>"$1"; rm "$1"; echo ready; read wait', 'sh', join(shielded.mountpoint, 'last')])
    await eventually('the last file is removed', () => last.output() === 'ready\n')
    await shielded.stop(sandbox)
    assert.doesNotMatch(shielded.running.output(), /has not removed/)
    assert.deepEqual(readdirSync(folder).toSorted(), ShieldedHolder.left)
    last.child.stdin?.end()
    await last.ended
  })

  it('has each name once in every listing where each daemon lists in another order, and wants the kernel to cache listings', async () => {
    await using sandbox = new Sandbox()
    const layers = [0, 1].map((layer) => sandbox.directory(`layer-${layer}`))
    // Of several lengths: where the kernel begins the next part of a listing is another place in the daemon's order in each directory.
    const directories = [40, 60, 80, 100].map((length) => ({
      name: `names-${length}`,
      names: Array.from({ length: 1000 }, (_, number) => `${String(number).padStart(4, '0')}-${'x'.repeat(length)}`),
    }))
    for (const { name, names } of directories) {
      for (const layer of layers) mkdirSync(join(layer, name))
      for (const [number, file] of names.entries()) writeFileSync(join(layers[number % 2] ?? '', name, file), '')
    }
    // fuse-overlayfs lists the layers' names in an order that depends on which layer comes first.
    const order = join(sandbox.path, 'order')
    writeFileSync(order, layers.join(':'))
    const script = `exec fuse-overlayfs -f -o lowerdir=$(cat ${order}) "$0"`
    const shielded = await Shielded.start(sandbox, ['sh', '-c', script, '{target}'], ['--read-only'])
    const listings = await Promise.all(
      directories.map(async ({ name, names }) => {
        const path = join(shielded.mountpoint, name)
        const begun = await opendir(path)
        return { path, names, begun, first: await begun.read() }
      }),
    )
    writeFileSync(order, layers.toReversed().join(':'))
    await shielded.killDaemon()
    for (const { path, names, begun, first } of listings) {
      const list = async (): Promise<readonly string[]> => (await sandbox.run('ls', ['-U', path])).stdout.trimEnd().split('\n')
      const whole = [await list(), await list()]
      const rest = [first?.name]
      for await (const { name } of begun) rest.push(name)
      // Otherwise nothing would be shown.
      assert.notDeepEqual(rest, whole[0], 'the two daemons list in one order')
      for (const listed of [rest, ...whole, await list()]) assert.deepEqual(listed.toSorted(), names)
    }
    await shielded.stop(sandbox)
  })

  it('has the kernel read four times as far ahead as of the daemon alone, also after an upgrade', async () => {
    await using sandbox = new Sandbox()
    const alone = sandbox.directory('alone')
    sandbox.start('bindfs', ['-f', sandbox.directory('other'), alone])
    const ahead = (mountpoint: string): number =>
      Number(readFileSync(`/sys/class/bdi/${mountAt(mountpoint).device}/read_ahead_kb`, 'utf8'))
    await eventually('bindfs has mounted', () => layersAt(alone).length > 0)
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', sandbox.directory('shown'), '{target}'])
    assert.equal(ahead(shielded.mountpoint), 4 * ahead(alone))
    assert.equal((await sandbox.run(EXECUTABLE, ['shield', 'upgrade', shielded.mountpoint])).status, 0)
    assert.equal(ahead(shielded.mountpoint), 4 * ahead(alone))
    umountLazily(alone)
    await shielded.stop(sandbox)
  })

  it('ends with 0 when its mount is unmounted by somebody else, and leaves nothing', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('filled')
    writeFileSync(join(folder, 'f'), 'text')
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'], ['--read-only'])
    umountLazily(shielded.mountpoint)
    assert.equal((await shielded.running.ended).status, 0)
    shielded.assertGone(sandbox)
  })

  it(
    'runs the daemon as a user without capabilities and without a FUSE device, in mounts of its own, which do not hold the mount',
    { timeout: 280_000 },
    async () => {
      await using sandbox = new Sandbox()
      const folder = sandbox.directory('filled')
      writeFileSync(join(folder, 'f'), 'text')
      chmodSync(sandbox.path, 0o755)
      const command = ['bindfs', '-f', folder, '{target}']
      const shielded = await Shielded.start(sandbox, command, ['--read-only', '--user', 'nobody'])
      for (const killed of ['daemon', 'shield'] as const) {
        assert.equal((await sandbox.run('cat', [join(shielded.mountpoint, 'f')])).stdout, 'text')
        const { daemon = 0 } = shielded
        const status = readFileSync(`/proc/${daemon}/status`, 'utf8')
        assert.match(status, /^Uid:\t65534\t65534\t65534\t65534$/m)
        assert.match(status, /^CapPrm:\t0+$\n^CapEff:\t0+$\n^CapBnd:\t0+$/m)
        assert.match(status, /^NoNewPrivs:\t1$/m)
        assert.notEqual(readlinkSync(`/proc/${daemon}/ns/mnt`), readlinkSync('/proc/self/ns/mnt'))
        const theirs = readFileSync(`/proc/${daemon}/mountinfo`, 'utf8')
        assert.match(theirs, / \/dev\/fuse /)
        await shielded.kill([killed])
      }
      // The one that serves now was started while the mount was there.
      umountLazily(shielded.mountpoint)
      assert.equal((await shielded.running.ended).status, 0, shielded.running.output())
      shielded.assertGone(sandbox)
    },
  )

  it('lets go of killed consumers while the daemon hangs and while there is none, and goes on', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('filled')
    fill(folder)
    const wish = join(sandbox.path, 'wish')
    writeFileSync(wish, '')
    const script = `test -e ${wish} && exec bindfs -f ${folder} "$0"`
    const shielded = await Shielded.start(sandbox, ['sh', '-c', script, '{target}'], ['--read-only'])
    const { daemon } = shielded
    assert.ok(daemon !== undefined)
    await killWaitingConsumers(sandbox, shielded, async () => {
      process.kill(daemon, 'SIGSTOP')
      await eventually('the daemon is stopped', () => processStat(daemon)?.state === 'T')
    })
    process.kill(daemon, 'SIGCONT')
    const reader = await ShieldedReader.start(sandbox, shielded.mountpoint)
    await reader.check()
    await reader.end()
    await killWaitingConsumers(sandbox, shielded, async () => {
      rmSync(wish)
      shielded.killAtOnce()
      await eventually('the daemon is gone', () => processStat(daemon) === undefined)
    })
    writeFileSync(wish, '')
    await eventually('another serves', () => shielded.served >= 2, 120_000)
    await (await ShieldedReader.start(sandbox, shielded.mountpoint)).end()
    await shielded.stop(sandbox)
  })

  it('fails a request that ends three daemons in a row, and goes on', async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, [DUMMY_FUSE, '-f', '--inject', 'read-delay=3600', '{target}'], ['--read-only'])
    const reader = sandbox.start('cat', [join(shielded.mountpoint, 'dummy-file.txt')])
    let kills = 0
    while (reader.child.exitCode === null) {
      assert.ok(++kills < 50, shielded.running.output())
      await shielded.killDaemon()
    }
    assert.match(reader.output(), /Input\/output error/)
    assert.match(shielded.running.output(), /was with 3 daemons in a row that ended; it fails with EIO/)
    assert.equal((await sandbox.run('ls', [shielded.mountpoint])).stdout, 'dummy-file.txt\n')
    await shielded.stop(sandbox)
  })

  it('fails only one of the requests that daemons had when they ended, and has the others answered', async () => {
    await using sandbox = new Sandbox()
    const slow = join(sandbox.path, 'slow')
    writeFileSync(slow, '')
    const script = `test -e ${slow} && set -- --inject read-delay=3600; exec ${DUMMY_FUSE} -f "$@" "$0"`
    const shielded = await Shielded.start(sandbox, ['sh', '-c', script, '{target}'], ['--read-only'])
    const file = join(shielded.mountpoint, 'dummy-file.txt')
    // Without the page cache, of which each page is asked for once.
    const lines = [
      'import mmap, os, sys',
      'fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)',
      "print('ready', flush=True)",
      'page = mmap.mmap(-1, 4096)',
      'sys.stdout.buffer.write(page[:os.preadv(fd, [page], 0)])',
    ]
    const readers = [1, 2].map(() => sandbox.start('python3', ['-c', lines.join('\n'), file]))
    const waiting = await requestsOf(sandbox, shielded)
    await eventually('both readers wait', () => readers.every((reader) => reader.output() === 'ready\n') && waiting.count() === 2)
    const isSuspected = (): boolean => shielded.running.output().includes('was with 2 daemons in a row')
    for (let kills = 0; !isSuspected(); kills++) {
      assert.ok(kills < 10, shielded.running.output())
      await shielded.killDaemon()
    }
    rmSync(slow)
    await shielded.killDaemon()
    const ends = await Promise.all(readers.map(({ ended }) => ended))
    assert.deepEqual(ends.map(({ stdout }) => stdout).toSorted(), ['ready\n', 'ready\nHello world!\n'])
    assert.match(ends.map(({ stderr }) => stderr).join(''), /Input\/output error/)
    waiting.end()
    await shielded.stop(sandbox)
  })

  it('gives up a daemon that does not come up again, and leaves a mount that says so', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('filled')
    writeFileSync(join(folder, 'f'), 'text')
    const wish = join(sandbox.path, 'wish')
    writeFileSync(wish, '')
    const script = `test -e ${wish} && exec bindfs -f ${folder} "$0"`
    const options = ['--read-only', '--give-up', '0.5']
    const shielded = await Shielded.start(sandbox, ['sh', '-c', script, '{target}'], options)
    const held = await sandbox.run('rm', [wish])
    assert.equal(held.status, 0)
    shielded.killAtOnce()
    const { status } = await shielded.running.ended
    assert.equal(status, 12, shielded.running.output())
    assert.match(shielded.running.output(), /no daemon serves .* and what is mounted there is dead/)
    const read = await sandbox.run('cat', [join(shielded.mountpoint, 'f')])
    assert.match(read.stderr, /Transport endpoint is not connected/)
    umountLazily(shielded.mountpoint)
    shielded.assertGone(sandbox)
  })

  const REFUSED: Readonly<Record<string, readonly [args: readonly string[], status: number, said: RegExp]>> = {
    'writes by a daemon that loses them': [
      ['DIR', '--', 'sshfs', '-f', 'a:/', '{target}'],
      2,
      /may lose a write .*; give --read-only/,
    ],
    'a command without {target}': [['--read-only', 'DIR', '--', 'bindfs', '-f', '/'], 2, /has \{target\}/],
    'no command': [['--read-only', 'DIR'], 2, /there is no command/],
    'an unknown placeholder': [['--read-only', 'DIR', '--', 'bindfs', '{targ}'], 2, /\{targ\}, which there is not/],
    'a program that is not there': [['--read-only', 'DIR', '--', 'no-such-daemon', '{target}'], 1, /does not exist or is not exec/],
    'a daemon that mounts elsewhere': [
      ['--read-only', 'DIR', '--', 'bindfs', '-f', '-o', 'fsname={target}', '/', 'DIR'],
      1,
      /bindfs mounts at .*, where \{target\} in its command stands for .*; write \{target\} where/,
    ],
    'a daemon that lets its user alone in': [
      ['--user', 'nobody', 'DIR', '--', 'bindfs', '-f', '--no-allow-other', '/', '{target}'],
      11,
      /bindfs mounts for its own user alone, and the shield runs as root/,
    ],
    'a user that there is not': [['--user', 'no-such-user', 'DIR', '--', 'bindfs', '-f', '/', '{target}'], 2, /is no user of/],
    'a daemon that ends': [['--read-only', 'DIR', '--', 'false', '{target}'], 1, /ended with exit status 1 before it had mounted/],
    'a mount point that is not there': [['--read-only', 'DIR/no', '--', 'bindfs', '-f', '/', '{target}'], 3, /no such directory/],
  }
  for (const [what, [args, status, said]] of Object.entries(REFUSED))
    it(`refuses ${what}`, async () => {
      await using sandbox = new Sandbox()
      const mountpoint = sandbox.directory('mount')
      const result = await sandbox.run(EXECUTABLE, ['shield', ...args.map((word) => word.replace('DIR', mountpoint))])
      assert.match(result.stderr, said)
      assert.equal(result.status, status)
      assert.deepEqual(sandbox.mounts(), [])
    })
})
