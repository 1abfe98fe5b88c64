import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, serves } from '../support/mounts.ts'
import type { Running, Sandbox as SandboxType } from '../support/sandbox.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

describe('a session of dummy-fused with a fault', () => {
  // Of five seconds and more the daemon keeps a whole second for undoing and answering, before the client gives up by itself.
  const CASES = [
    { title: 'whose INIT is never answered', faults: ['init-hang'], deadlineMs: 5000, code: 'DEADLINE_EXCEEDED' },
    { title: 'whose mount is slower than the deadline', faults: ['mount-delay=30'], deadlineMs: 5000, code: 'DEADLINE_EXCEEDED' },
    {
      title: 'whose mount is slow and then never answered',
      faults: ['mount-delay=0.3', 'init-hang'],
      deadlineMs: 5000,
      code: 'DEADLINE_EXCEEDED',
    },
    { title: 'whose mount fails', faults: ['mount-fail'], deadlineMs: 5000, code: 'INTERNAL' },
  ] as const
  it('ends the call and leaves nothing', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    for (const [at, { title, faults, deadlineMs, code }] of CASES.entries()) {
      await t.test(`one ${title}`, async () => {
        const path = sandbox.directory(`v${at}`)
        const failed = await outcome(fused.mount(path, { faults: [...faults], deadlineMs }))
        assert.equal(failed.code, code, failed.details)
        assert.ok(failed.details.startsWith(path), failed.details)
        assert.deepEqual([...layersAt(path), ...fused.records(), ...(await fused.paths())], [])
        await eventually('its descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
        // It can be mounted where it failed, once and for all.
        await fused.mount(path)
        assert.ok(await serves(sandbox, path))
        assert.equal(layersAt(path).length, 1)
        assert.equal(await fused.unmount(path), true)
      })
    }
  })

  it('ends the call also when the deadline is over before INIT has come', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    for (let round = 0; round < 12; round++) {
      const failed = await outcome(fused.mount(path, { faults: ['init-hang'], deadlineMs: 1 + (round % 3) }))
      // Within a millisecond the client may not even have a connection.
      assert.match(`${failed.code}: ${failed.details}`, /^(DEADLINE_EXCEEDED: |UNAVAILABLE: No connection established)/)
      assert.deepEqual(layersAt(path), [])
    }
    // The client has its answer from itself: the daemon undoes what it began after that.
    await eventually('nothing is left', () => fused.records().length + devicesOf(fused.pid) === 0)
    assert.deepEqual([...layersAt(path), ...(await fused.paths())], [])
  })

  it('is mounted when it is slow but in time', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    const begun = performance.now()
    await fused.mount(path, { faults: ['mount-delay=0.4'] })
    assert.ok(performance.now() - begun >= 400)
    assert.ok(await serves(sandbox, path))
  })

  it('keeps its fault over a takeover', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path, { faults: ['read-delay=0.5'] })
    await fused.kill()
    await fused.answers()
    const begun = performance.now()
    assert.ok(await serves(sandbox, path))
    assert.ok(performance.now() - begun >= 500)
  })
})

/** Reads a volume's file again and again, and prints a line for each time. */
function reader(sandbox: SandboxType, path: string): Running {
  return sandbox.start('sh', ['-c', 'while cat "$0"; do sleep 0.1; done', `${path}/dummy-file.txt`])
}

/** How often a reader has read. */
function reads(running: Running): number {
  return running.output().split('\n').length - 1
}

describe('volumes beside a slow or broken one', { concurrency: 3 }, () => {
  const OTHERS = 8
  const CASES = [
    { title: 'one whose reads take 30 s', faults: ['read-delay=30'] },
    { title: 'one whose INIT is never answered', faults: ['init-hang'] },
    { title: 'one whose mount is delayed', faults: ['mount-delay=30'] },
  ] as const
  for (const { title, faults } of CASES) {
    it(`go on, and calls for them too: beside ${title}`, async () => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, { keep: [] })
      const paths = Array.from({ length: OTHERS }, (_, at) => sandbox.directory(`v${at}`))
      for (const path of paths) await fused.mount(path)
      const bad = sandbox.directory('bad')
      let mounted: string | undefined
      const call = outcome(fused.mount(bad, { faults: [...faults], deadlineMs: 9000 })).then(({ code }) => (mounted = code))
      if (faults[0].startsWith('read-delay')) {
        await call
        const slow = sandbox.start('cat', [`${bad}/dummy-file.txt`])
        await eventually('its reader waits', async () => (await fused.call(Fused.method.inspect, { path: bad })).pending === 1n)
        assert.equal(slow.child.exitCode, null)
      }
      const readers = paths.map((path) => reader(sandbox, path))
      await eventually('every other volume is read ten times', () => readers.every((one) => reads(one) >= 10), 30_000)
      assert.deepEqual(
        readers.map(({ child }) => child.exitCode),
        readers.map(() => null),
      )
      for (const one of readers) one.child.kill('SIGKILL')
      // Calls for the others do not wait for it, nor does a second call for its own path wait for ever.
      const more = sandbox.directory('more')
      await fused.mount(more)
      assert.equal(await fused.unmount(more), true)
      for (const path of paths) assert.equal(await fused.unmount(path), true)
      if (!faults[0].startsWith('read-delay')) {
        await call
        assert.equal(mounted, 'DEADLINE_EXCEEDED')
        assert.deepEqual(layersAt(bad), [])
      }
    })
  }

  it('a reader of a slow volume can be interrupted and killed', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    // A read of the page cache can only be killed (fs/fuse/file.c).
    await fused.mount(path, { faults: ['read-delay=30'], options: ['direct_io'] })
    const pending = async (): Promise<bigint> => (await fused.call(Fused.method.inspect, { path })).pending
    const code = [
      'import os, signal, sys',
      'def handler(*_): raise InterruptedError',
      'signal.signal(signal.SIGALRM, handler)',
      'fd = os.open(sys.argv[1], os.O_RDONLY)',
      'try:',
      '    signal.setitimer(signal.ITIMER_REAL, 1)',
      '    os.read(fd, 13)',
      "except InterruptedError: print('interrupted')",
    ].join('\n')
    const result = await sandbox.run('python3', ['-c', code, `${path}/dummy-file.txt`], { timeout: 25_000 })
    assert.equal(result.stdout, 'interrupted\n', result.stderr)
    const killed = sandbox.start('cat', [`${path}/dummy-file.txt`])
    await eventually('it waits', async () => (await pending()) > 0n)
    killed.child.kill('SIGKILL')
    assert.equal((await killed.ended).signal, 'SIGKILL')
    assert.equal(await fused.unmount(path, 500), true)
    assert.deepEqual(sandbox.mounts(), [])
  })

  it('an unmount of a volume in use ends within its grace, and whoever used it gets ENOTCONN', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const code = [
      'import os, sys, time',
      'fd = os.open(sys.argv[1], os.O_RDONLY)',
      "print('open', flush=True)",
      'sys.stdin.readline()',
      'try: os.open("/proc/self/fd/%d" % fd, os.O_RDONLY); os.pread(fd, 1, 100); print("read")',
      'except OSError as error: print(error.errno)',
    ].join('\n')
    const holder = sandbox.start('python3', ['-c', code, `${path}/dummy-file.txt`])
    await eventually('it is open', () => holder.output().includes('open\n'))
    assert.equal(await fused.unmount(path, 300), true)
    assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
    await eventually('its descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
    holder.child.stdin?.write('go\n')
    assert.equal((await holder.ended).stdout, 'open\n107\n')
  })
})
