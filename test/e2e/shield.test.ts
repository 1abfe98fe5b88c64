import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { PROGRAMS } from '../support/program-storage.ts'
import { Sandbox } from '../support/sandbox.ts'
import { fill, Shielded, ShieldedReader, ShieldedWriter } from '../support/shield.ts'
import { umountLazily } from '../support/mounts.ts'
import { eventually } from '../support/wait.ts'

const KILLS = 6

/** The command of each daemon for a folder that {@link fill} has filled. */
const DAEMONS: Readonly<Record<string, (sandbox: Sandbox, folder: string) => Promise<readonly string[]>>> = {
  bindfs: (_, folder) => Promise.resolve(['bindfs', '-f', folder, '{target}']),
  squashfuse: async (sandbox, folder) => {
    const image = join(sandbox.path, 'image.squashfs')
    const made = await sandbox.run('mksquashfs', [folder, image, '-quiet', '-no-progress'])
    assert.equal(made.status, 0, made.stderr)
    return ['squashfuse', '-f', image, '{target}']
  },
  sshfs: async (sandbox, folder) => {
    const { parameters, secrets } = (await PROGRAMS.sshfs?.(sandbox)) ?? {}
    const knownHosts = join(sandbox.path, 'known-hosts')
    writeFileSync(knownHosts, secrets?.knownHosts ?? '')
    const options = [`IdentityFile=${join(sandbox.path, 'ssh', 'key')}`, `UserKnownHostsFile=${knownHosts}`, 'BatchMode=yes']
    const port = `port=${parameters?.port}`
    return ['sshfs', '-f', `root@127.0.0.1:${folder}`, '{target}', ...[...options, port].flatMap((option) => ['-o', option])]
  },
  'fuse-overlayfs': (sandbox, folder) => {
    const [upper, work] = [sandbox.directory('upper'), sandbox.directory('work')]
    return Promise.resolve(['fuse-overlayfs', '-f', '-o', `lowerdir=${folder},upperdir=${upper},workdir=${work}`, '{target}'])
  },
  gocryptfs: async (sandbox, folder) => {
    const [cipher, plain] = [sandbox.directory('cipher'), sandbox.directory('plain')]
    const password = join(sandbox.path, 'password')
    writeFileSync(password, 'a good password\n')
    const words = ['-q', '-passfile', password]
    for (const args of [
      ['-init', '-scryptn', '10', ...words, cipher],
      [...words, cipher, plain],
    ])
      assert.equal((await sandbox.run('gocryptfs', args)).status, 0)
    assert.equal((await sandbox.run('cp', ['-a', `${folder}/.`, plain])).status, 0)
    assert.equal((await sandbox.run('umount', [plain])).status, 0)
    return ['gocryptfs', '-fg', ...words, cipher, '{target}']
  },
}

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

  const WRITABLE: Readonly<Record<string, (sandbox: Sandbox) => readonly string[]>> = {
    bindfs: (sandbox) => ['bindfs', '-f', sandbox.directory('written'), '{target}'],
    'fuse-overlayfs': (sandbox) => {
      const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => sandbox.directory(name))
      return ['fuse-overlayfs', '-f', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, '{target}']
    },
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
      const expected = await writer.end()
      const file = join(sandbox.path, 'expected')
      writeFileSync(file, expected.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(''))
      const checked = await sandbox.run('sha256sum', ['--check', '--strict', '--quiet', file], { cwd: shielded.mountpoint })
      assert.equal(checked.status, 0, checked.stdout + checked.stderr)
      const listed = await sandbox.run('find', ['.', '!', '-type', 'd', '-printf', '%P\\n'], { cwd: shielded.mountpoint })
      assert.deepEqual(listed.stdout.trimEnd().split('\n').toSorted(), expected.map(({ name }) => name).toSorted())
      await shielded.stop(sandbox)
    })

  it('has a file that is held and renamed read by whoever holds it, and not the one that has its name', async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', sandbox.directory('written'), '{target}'])
    const f = join(shielded.mountpoint, 'f')
    const script = 'echo one > "$1"; exec 3<"$1"; mv "$1" "$1.old"; echo two > "$1"; echo ready; read go; cat - "$1" <&3'
    const holder = sandbox.start('sh', ['-c', script, 'sh', f])
    await eventually('the file is held', () => holder.output() === 'ready\n')
    await shielded.killDaemon()
    holder.child.stdin?.end('go\n')
    assert.equal((await holder.ended).stdout, 'ready\none\ntwo\n')
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

  it('has its daemon end with it when it is killed itself', async () => {
    await using sandbox = new Sandbox()
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', sandbox.directory('filled'), '{target}'])
    const { daemon = 0 } = shielded
    shielded.running.child.kill('SIGKILL')
    await shielded.running.ended
    await eventually('the daemon has ended', () => processStat(daemon) === undefined)
    const read = await sandbox.run('ls', [shielded.mountpoint])
    assert.match(read.stderr, /Transport endpoint is not connected/)
  })

  it('lets go of a killed reader while the daemon hangs, and goes on with the daemon', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('filled')
    writeFileSync(join(folder, 'f'), 'text')
    const shielded = await Shielded.start(sandbox, ['bindfs', '-f', folder, '{target}'], ['--read-only'])
    const { daemon = 0 } = shielded
    process.kill(daemon, 'SIGSTOP')
    await eventually('the daemon is stopped', () => processStat(daemon)?.state === 'T')
    const reader = sandbox.start('cat', [join(shielded.mountpoint, 'f')])
    const connections = sandbox.directory('connections')
    assert.equal((await sandbox.run('mount', ['-t', 'fusectl', 'none', connections])).status, 0)
    const count = (): number => Number(readFileSync(join(connections, shielded.connection, 'waiting'), 'utf8'))
    await eventually('the reader waits', () => count() >= 1)
    reader.child.kill('SIGKILL')
    assert.equal((await reader.ended).signal, 'SIGKILL')
    process.kill(daemon, 'SIGCONT')
    assert.equal((await sandbox.run('cat', [join(shielded.mountpoint, 'f')])).stdout, 'text')
    umountLazily(connections)
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
