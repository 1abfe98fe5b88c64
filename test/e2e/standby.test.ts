import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStat } from '../../src/os/processes/processes.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { Reader } from '../support/c-reader.ts'
import { FusedProcess, sleepsOf } from '../support/fused.ts'
import { GREETING, layersAt, serves } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { descriptorsOf, devicesOf, Sandbox } from '../support/sandbox.ts'
import { StandbyProcess } from '../support/standby.ts'
import { complaints, reading, steadyReader, steadyReaders } from '../support/steady-reader.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

function fileIn(path: string): string {
  return join(path, 'dummy-file.txt')
}

/** A reader that holds a volume's file open, and has read it. */
async function holding(sandbox: Sandbox, path: string): Promise<Reader> {
  const reader = await Reader.start(sandbox, { mode: 'held', file: fileIn(path) })
  await reader.reading()
  return reader
}

/** Waits until a reader gets ENOTCONN, and ends it. */
async function getsCut(reader: Reader): Promise<void> {
  await reader.until('it gets ENOTCONN', ({ failed }) => (failed.ENOTCONN ?? 0) > 0)
  await reader.summary()
}

/** Kills a daemon whose keeper does not start another one before {@link letSucceed}. */
async function killForLong(fused: FusedProcess): Promise<void> {
  const keeper = fused.running.pid
  fused.running.child.kill('SIGSTOP')
  await eventually('the keeper is stopped', () => processStat(keeper)?.state === 'T')
  const { pid } = fused
  process.kill(pid, 'SIGKILL')
  // Its keeper does not reap it: a zombie of one thread.
  await eventually('dummy-fused is gone', () => processStat(pid) === undefined)
}

async function letSucceed(fused: FusedProcess): Promise<void> {
  fused.running.child.kill('SIGCONT')
  await fused.answers()
}

/** How many ends of pipes a process has. */
function pipesOf(pid: number): number {
  return descriptorsOf(pid).filter(({ target }) => target.startsWith('pipe:')).length
}

describe('dummy-fuse-csi standby', () => {
  it('serves every session while there is no daemon, and ends when there is one', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const paths = await fused.mountKinds()
    const standby = await StandbyProcess.start(sandbox, fused)
    const readers = await steadyReaders(sandbox, paths)

    await killForLong(fused)
    for (const path of paths) assert.ok(await serves(sandbox, path))
    await standby.logged(/dummy-fused is gone: serving 4 sessions/)

    await letSucceed(fused)
    assert.equal((await standby.ended()).status, 0)
    assert.match(standby.log(), /a successor serves after \d+ ms/)
    assert.ok(!existsSync(join(fused.stateDir, 'standby.sock')))
    assert.deepEqual(await fused.paths(), paths.toSorted())
    for (const path of paths) assert.ok(await serves(sandbox, path))
    assert.deepEqual(await complaints(sandbox, ...readers), [])
    for (const path of paths) assert.equal(await fused.unmount(path), true)
    assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
  })

  it('is there anew for each kill and upgrade, and no read fails', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    for (let round = 0; round < 4; round++) {
      const standby = await StandbyProcess.start(sandbox, fused)
      const { pid } = fused
      if (round % 2 === 0) process.kill(pid, 'SIGKILL')
      else fused.running.child.kill('SIGHUP')
      assert.equal((await standby.ended()).status, 0)
      assert.match(standby.log(), round % 2 === 0 ? /is gone: serving 1 sessions/ : /ends: serving 1 sessions/)
      await fused.answers()
      assert.notEqual(fused.pid, pid)
    }
    assert.deepEqual(await complaints(sandbox, reader), [])
    await fused.unmount(path)
  })

  it('comes back by itself under a keep of its own', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const keep = sandbox.start(EXECUTABLE, ['keep', '--', EXECUTABLE, 'standby', '--state-dir', fused.stateDir])
    const holds = (last?: number): number | undefined =>
      sandbox.processes('dummy-standby').find((pid) => pid !== last && devicesOf(pid) === 1)
    let standby = await eventually(`there is a standby: ${keep.output()}`, () => holds())
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    for (let round = 0; round < 2; round++) {
      const last = standby
      await fused.replace()
      standby = await eventually(`there is another standby: ${keep.output()}`, () => holds(last))
      // Before, it may take the next daemon for its own, and serve nothing; nor does it heed a signal.
      await eventually('it is ready', () => keep.output().split('is ready').length === round + 3)
    }
    assert.equal(keep.output().split('serving 1 sessions').length, 3)
    assert.deepEqual(await complaints(sandbox, reader), [])
    keep.child.kill('SIGTERM')
    assert.equal((await keep.ended).status, 0)
    assert.ok(!existsSync(join(fused.stateDir, 'standby.sock')))
  })

  it('is ended when it is stopped, and comes back, under a keep of its own with its watchdog', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    await fused.mount(sandbox.directory('mnt'))
    const args = ['keep', '--watchdog', '2', '--', EXECUTABLE, 'standby', '--state-dir', fused.stateDir]
    const keep = sandbox.start(EXECUTABLE, args)
    const holds = (last?: number): number | undefined =>
      sandbox.processes('dummy-standby').find((pid) => pid !== last && devicesOf(pid) === 1)
    const stopped = await eventually(`there is a standby: ${keep.output()}`, () => holds())
    await eventually('its keep watches it', () => keep.output().includes('is ready'))
    process.kill(stopped, 'SIGSTOP')
    await eventually(`there is another standby: ${keep.output()}`, () => holds(stopped), 20_000)
    assert.match(keep.output(), /missed its watchdog: SIGABRT/)
  })

  it('answers what the daemon read and did not, and leaves to the successor what it does not answer itself', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path, { faults: ['read-delay=2'], options: ['direct_io'] })
    const standby = await StandbyProcess.start(sandbox, fused, ['--drain-deadline', '0.2'])
    const one = sandbox.start('cat', [fileIn(path)])
    await eventually('it waits', async () => (await fused.call(Fused.method.inspect, { path })).pending === 1n)
    await killForLong(fused)
    assert.equal((await one.ended).stdout, GREETING)

    const other = sandbox.start('cat', [fileIn(path)])
    await standby.logged(/serving 1 sessions/)
    await letSucceed(fused)
    assert.equal((await standby.ended()).status, 0)
    assert.equal((await other.ended).stdout, GREETING)
  })

  it('lets go of what is unmounted: who still uses it gets ENOTCONN', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const [used, unused, byHand] = [sandbox.directory('used'), sandbox.directory('unused'), sandbox.directory('by hand')]
    for (const path of [used, unused, byHand]) await fused.mount(path)
    const standby = await StandbyProcess.start(sandbox, fused)
    const reader = await holding(sandbox, used)
    assert.equal(await fused.unmount(unused), true)
    assert.equal((await sandbox.run('umount', [byHand])).status, 0)
    await standby.holdsAll()
    assert.equal(await fused.unmount(used, 100), true)
    // A standby that a busy machine keeps from an answer is not waited for longer.
    if (devicesOf(standby.pid) > 0) await fused.logged('the standby has not answered within 1 s')
    await getsCut(reader)
  })

  it('holds nothing back when the daemon is stopped for good', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const standby = await StandbyProcess.start(sandbox, fused)
    const reader = await holding(sandbox, path)
    assert.equal((await fused.stop()).status, 0)
    await getsCut(reader)
    assert.doesNotMatch(standby.log(), /serving/)
    standby.signal('SIGTERM')
    assert.equal((await standby.ended()).status, 0)
  })

  it('serves what is left of a daemon that nobody restarts, and gives it up at the takeover deadline', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const standby = await StandbyProcess.start(sandbox, fused, ['--takeover-deadline', '10'])
    const reader = await holding(sandbox, path)
    await fused.stop('SIGKILL')
    await standby.logged(/serving 1 sessions/)
    const { rounds } = await reader.progress()
    const { failed } = await reader.until('it reads on', (now) => now.rounds > rounds + 100)
    assert.deepEqual(failed, {})
    assert.equal((await standby.ended()).status, 0)
    assert.match(standby.log(), /no successor served within 10 s: the sessions are given up, and their consumers get ENOTCONN/)
    await getsCut(reader)
    assert.equal((await sandbox.run('umount', ['-l', path])).status, 0)
  })

  it('is waited for once when it hangs, and finds all that it was told when it goes on', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const [first, second] = [sandbox.directory('one'), sandbox.directory('two')]
    await fused.mount(first)
    const standby = await StandbyProcess.start(sandbox, fused)
    const reader = await holding(sandbox, first)
    standby.signal('SIGSTOP')
    assert.equal(await fused.unmount(first, 0), true)
    await fused.logged('the standby has not answered within 1 s; the daemon does not wait for it any longer')
    // More than its queue holds.
    for (let round = 0; round < 20; round++) {
      await fused.mount(second)
      if (round < 19) assert.equal(await fused.unmount(second), true)
    }
    assert.equal(fused.log().split('has not answered').length, 2)
    standby.signal('SIGCONT')
    await getsCut(reader)
    await standby.holdsAll()
    await killForLong(fused)
    assert.ok(await serves(sandbox, second))
    await letSucceed(fused)
    assert.equal((await standby.ended()).status, 0)
  })

  it('lets go of a session that ends while it is greeted again, and has no room for more messages', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const paths = ['one', 'two', 'three'].map((name) => sandbox.directory(name))
    for (const path of paths) await fused.mount(path)
    const standby = await StandbyProcess.start(sandbox, fused)
    await stop(standby.pid)
    // The daemon greets it whenever its socket changes, with a new pipe. A greeting introduces the daemon, stores each session, and ends with a barrier.
    const greeting = 1 + paths.length + 1
    const room = Number(readFileSync('/proc/sys/net/unix/max_dgram_qlen', 'utf8')) + 1
    for (let sent = 0; sent <= room; sent += greeting) {
      const pipes = pipesOf(fused.pid)
      chmodSync(join(fused.stateDir, 'standby.sock'), 0o600)
      await eventually('it is greeted', () => pipesOf(fused.pid) > pipes)
    }
    const [first = '', ...others] = paths
    assert.equal(await fused.unmount(first), true)
    standby.signal('SIGCONT')
    await standby.holdsAll()
    await killForLong(fused)
    for (const path of others) assert.ok(await serves(sandbox, path))
    await standby.logged(/dummy-fused is gone: serving 2 sessions/)
    await letSucceed(fused)
    for (const path of others) assert.equal(await fused.unmount(path), true)
  })

  it('may come before its daemon, and outlive it when there is nothing to serve', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const standby = await StandbyProcess.start(sandbox, fused)
    await fused.replace()
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    await standby.holdsAll()
    assert.doesNotMatch(standby.log(), /serving/)
    await killForLong(fused)
    assert.ok(await serves(sandbox, path))
    await letSucceed(fused)
    assert.equal((await standby.ended()).status, 0)
  })

  it('does not serve on kernels that cannot be asked for lost requests, nor keep anybody waiting there', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [], args: ['--inject', 'no-resend'] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const standby = await StandbyProcess.start(sandbox, fused)
    const reader = await holding(sandbox, path)
    await fused.replace()
    assert.equal((await standby.ended()).status, 0)
    assert.match(standby.log(), /serving 0 sessions/)
    await getsCut(reader)
    await eventually('what is dead is taken off', () => layersAt(path).length === 0)
  })

  it('sleeps while there is nothing to do', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    await fused.mount(sandbox.directory('mnt'))
    const standby = await StandbyProcess.start(sandbox, fused)
    const quiet = async (): Promise<boolean> => {
      const before = sleepsOf(standby.pid) + sleepsOf(fused.pid)
      await sleep(2000)
      return sleepsOf(standby.pid) + sleepsOf(fused.pid) === before
    }
    await eventually('nobody wakes up for two seconds', quiet, 30_000)
  })

  it('refuses a folder that is none, or that another one has', async () => {
    await using sandbox = new Sandbox()
    const none = sandbox.directory('none')
    const refused = await sandbox.run(EXECUTABLE, ['standby', '--state-dir', none])
    assert.equal(refused.status, 1)
    assert.equal(
      refused.stderr,
      `dummy-standby: ${none} is no state folder of dummy-fused; start that first, or name its folder with --state-dir\n`,
    )
    const fused = await FusedProcess.start(sandbox)
    await StandbyProcess.start(sandbox, fused)
    const second = await sandbox.run(EXECUTABLE, ['standby', '--state-dir', fused.stateDir])
    assert.equal(second.status, 1)
    assert.match(second.stderr, /another dummy-fuse-csi standby uses the state folder/)
  })

  it('takes the place of a dead socket, and ignores what makes no sense', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const first = await StandbyProcess.start(sandbox, fused)
    first.signal('SIGKILL')
    await first.ended()
    assert.ok(existsSync(join(fused.stateDir, 'standby.sock')))
    const standby = await StandbyProcess.start(sandbox, fused)
    const code =
      'import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1]); [s.send(m) for m in (b"", b"x", b"FDSTORE=1", b"FDSTOREREMOVE=1\\nFDNAME=none", b"y" * 9999)]'
    assert.equal((await sandbox.run('python3', ['-c', code, join(fused.stateDir, 'standby.sock')])).status, 0)
    await killForLong(fused)
    assert.ok(await serves(sandbox, path))
    await letSucceed(fused)
    assert.equal((await standby.ended()).status, 0)
  })
})
