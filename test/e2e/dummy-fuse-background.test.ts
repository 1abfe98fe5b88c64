import assert from 'node:assert/strict'
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { daemonIn, endOf, mountCalled, mountDummyFuse } from '../support/mounting.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { descriptorsOf, type Running, Sandbox } from '../support/sandbox.ts'
import { faultArgs } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'

/** The daemon that a dummy-fuse which waits for it has started. */
async function daemonOf(sandbox: Sandbox, parent: Running): Promise<number> {
  return await eventually('the daemon has a process', () => sandbox.processes('dummy-fuse').find((pid) => pid !== parent.pid))
}

/** Waits until a daemon has looked at everything and is about to mount: it leaves its working directory last. */
async function isMounting(daemon: number): Promise<void> {
  await eventually('the daemon is about to mount', () => {
    // It looks at what is mounted there after that, and then waits.
    return readlinkSync(`/proc/${daemon}/cwd`) === '/' && readFileSync(`/proc/${daemon}/wchan`, 'utf8').includes('poll')
  })
}

async function nothingIsLeft(sandbox: Sandbox): Promise<void> {
  await eventually('no process is left', () => sandbox.processes().length === 0)
  assert.deepEqual(sandbox.mounts(), [])
}

describe('dummy-fuse in the background', () => {
  it('returns 0 and says nothing once the mount can be read', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const { status, stdout, stderr } = await sandbox.run(DUMMY_FUSE, ['--inject', 'mount-delay=0.5', path])
    assert.deepEqual([status, stdout, stderr, sandbox.mounts()], [0, '', '', [path]])
    const { stdout: text } = await sandbox.run('cat', [`${path}/dummy-file.txt`])
    assert.equal(text, 'Hello world!\n')
  })

  it('does not return before INIT is handled, and with 10 when that takes too long', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['--inject', 'init-hang', '--init-timeout', '1.5', path])
    assert.equal(status, 10)
    assert.equal(stderr, `dummy-fuse: ${path}: INIT was not handled within 1.5 s; the daemon was killed\n`)
    await nothingIsLeft(sandbox)
  })

  for (const fault of ['init-hang', 'mount-delay=60']) {
    it(`leaves nothing mounted behind a symbolic link when it times out with ${fault}`, async () => {
      await using sandbox = new Sandbox()
      sandbox.directory('mnt')
      await sandbox.run('ln', ['-s', 'mnt', `${sandbox.path}/link`])
      const { status } = await sandbox.run(DUMMY_FUSE, ['--inject', fault, '--init-timeout', '1', `${sandbox.path}/link`])
      assert.equal(status, 10)
      await nothingIsLeft(sandbox)
    })

    it(`returns 137 and a line when the daemon is killed with ${fault}, and leaves nothing mounted`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const parent = sandbox.start(DUMMY_FUSE, ['--inject', fault, '--init-timeout', '60', path])
      const daemon = await daemonOf(sandbox, parent)
      if (fault === 'init-hang') await mountCalled(sandbox)
      process.kill(daemon, 'SIGKILL')
      const { status, stderr } = await endOf(parent)
      assert.deepEqual([status, stderr], [137, `dummy-fuse: ${path}: the daemon was killed by signal 9\n`])
      await nothingIsLeft(sandbox)
    })

    it(`returns 1 and a line when the daemon is told to end with ${fault}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const parent = sandbox.start(DUMMY_FUSE, ['--inject', fault, '--init-timeout', '60', path])
      const daemon = await daemonOf(sandbox, parent)
      await isMounting(daemon)
      process.kill(daemon, 'SIGTERM')
      const { status, stderr } = await endOf(parent)
      assert.deepEqual(
        [status, stderr],
        [1, `dummy-fuse: ${path}: the daemon was ended by SIGTERM, SIGINT or SIGHUP before it had mounted; nothing is mounted\n`],
      )
      await nothingIsLeft(sandbox)
    })

    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
      it(`takes the daemon along when ${signal} ends it while it waits with ${fault}`, async () => {
        await using sandbox = new Sandbox()
        const path = sandbox.directory('mnt')
        const parent = sandbox.start(DUMMY_FUSE, ['--inject', fault, '--init-timeout', '60', path])
        await daemonOf(sandbox, parent)
        if (fault === 'init-hang') await mountCalled(sandbox)
        parent.child.kill(signal)
        await endOf(parent)
        await nothingIsLeft(sandbox)
      })
    }
  }

  it("returns the daemon's status and all that it and libfuse said", async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const faults = faultArgs({ call: 'mount', error: 'EINVAL', when: 1, follow: true }, join(sandbox.path, 'strace'))
    const { status, stderr } = await sandbox.run('strace', [...faults, DUMMY_FUSE, '--backend', 'fuse-native', path])
    assert.equal(status, 11)
    assert.match(stderr, /^fuse: mount failed: Invalid argument\ndummy-fuse: .*\n$/)
    assert.ok(stderr.includes(path))
    await nothingIsLeft(sandbox)
  })

  it('returns 11 when the mount fails', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['--inject', 'mount-fail', path])
    assert.deepEqual([status, stderr], [11, `dummy-fuse: ${path}: mount failed, as --inject mount-fail asks\n`])
    await nothingIsLeft(sandbox)
  })

  for (const how of ['wait', 'early']) {
    it(`holds no descriptor of its caller's with --daemonize ${how}: each pipe sees its end while the mount is served`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      // Node's 'close' event comes when all of the pipes, those beyond standard error too, have seen their end.
      const stdio = ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'] as const
      const parent = sandbox.start(DUMMY_FUSE, ['--daemonize', how, path], { stdio: [...stdio] })
      for (const stream of parent.child.stdio.slice(3)) if (stream && 'read' in stream) stream.resume()
      const { status } = await endOf(parent)
      assert.equal(status, 0)
      await eventually('it is mounted', () => sandbox.mounts().includes(path))
      const daemon = daemonIn(sandbox)
      assert.equal(readFileSync(`/proc/${daemon}/comm`, 'utf8'), 'dummy-fuse\n')
      assert.deepEqual(
        [0, 1, 2].map((wanted) => descriptorsOf(daemon).find(({ fd }) => fd === wanted)?.target),
        ['/dev/null', '/dev/null', '/dev/null'],
      )
    })
  }

  it('is a session leader and holds no working directory busy', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const cwd = sandbox.directory('cwd')
    await sandbox.run(DUMMY_FUSE, [path], { cwd })
    const daemon = daemonIn(sandbox)
    assert.equal(readlinkSync(`/proc/${daemon}/cwd`), '/')
    const [, , , , session] = readFileSync(`/proc/${daemon}/stat`, 'utf8')
      .replace(/^.*\) /, '0 ')
      .split(' ')
    assert.equal(Number(session), daemon)
  })

  it('leaves what another has mounted at the same place meanwhile, when its own daemon is killed', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const slow = sandbox.start(DUMMY_FUSE, ['--inject', 'mount-delay=60', '--init-timeout', '60', path])
    const daemon = await daemonOf(sandbox, slow)
    // Before, it would see the other's mount, and refuse.
    await isMounting(daemon)
    await mountDummyFuse(sandbox)
    process.kill(daemon, 'SIGKILL')
    const { status } = await endOf(slow)
    assert.equal(status, 137)
    assert.deepEqual(sandbox.mounts(), [path])
  })

  it('does not mount over what another has mounted at the same place during its delay', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const slow = sandbox.start(DUMMY_FUSE, ['--inject', 'mount-delay=12', '--init-timeout', '60', path])
    await isMounting(await daemonOf(sandbox, slow))
    await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', path])
    const { status, stderr } = await endOf(slow)
    assert.equal(status, 6, stderr)
    assert.deepEqual(sandbox.mounts(), [path])
  })

  it('ends when it is unmounted, and when it is told to, and then unmounts', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    await sandbox.run('umount', [path])
    await nothingIsLeft(sandbox)
    await mountDummyFuse(sandbox)
    process.kill(daemonIn(sandbox), 'SIGTERM')
    await nothingIsLeft(sandbox)
  })

  it('can be mounted and unmounted again and again at one place', async () => {
    await using sandbox = new Sandbox()
    for (let round = 0; round < 5; round++) {
      const path = await mountDummyFuse(sandbox)
      assert.deepEqual((await sandbox.run('umount', [path])).status, 0)
    }
    await nothingIsLeft(sandbox)
  })
})

describe('dummy-fuse --daemonize early', () => {
  it('returns 0 before anything is mounted, and mounts later', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const { status, stderr } = await sandbox.run(DUMMY_FUSE, [
      '--daemonize',
      'early',
      '--inject',
      'mount-delay=12',
      '--init-timeout',
      '60',
      path,
    ])
    assert.deepEqual([status, stderr, sandbox.mounts()], [0, '', []])
    await eventually('it is mounted', () => sandbox.mounts().includes(path), 30_000)
  })

  for (const [title, args, name] of [
    ['the mount fails', ['--inject', 'mount-fail'], 'mnt'],
    ['the mount point is missing', [], 'missing'],
  ] as const) {
    it(`returns 0 without a word although ${title}`, async () => {
      await using sandbox = new Sandbox()
      sandbox.directory('mnt')
      const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['--daemonize', 'early', ...args, `${sandbox.path}/${name}`])
      assert.deepEqual([status, stderr], [0, ''])
      await nothingIsLeft(sandbox)
    })
  }
})
