import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, read, serves } from '../support/mounts.ts'
import { devicesOf, Sandbox } from '../support/sandbox.ts'
import { complaints, reading, steadyReader, steadyReaders } from '../support/steady-reader.ts'
import { eventually } from '../support/wait.ts'

describe('a successor of dummy-fused', () => {
  it('goes on with every session, whatever its options, and readers see no error, over five kills', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const paths = await fused.mountKinds()
    const readers = await steadyReaders(sandbox, paths)
    const before = await fused.call(Fused.method.list)
    for (let round = 0; round < 5; round++) await fused.replace()
    const after = await fused.call(Fused.method.list)
    assert.deepEqual(
      after.sessions.map(({ id, path, connection, state }) => [id, path, connection, state]).sort(),
      before.sessions.map(({ id, path, connection, state }) => [id, path, connection, state]).sort(),
    )
    assert.deepEqual(await complaints(sandbox, ...readers), [])
    for (const path of paths) assert.equal(await fused.unmount(path), true)
    await eventually('all descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
    assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
  })

  it('is killed itself before it is ready, and the next one goes on', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    for (let round = 0; round < 3; round++) {
      await fused.kill()
      const next = await eventually('a successor is there', () => sandbox.processes('dummy-fused').find((pid) => pid > 0))
      process.kill(next, 'SIGKILL')
      await fused.answers()
    }
    assert.deepEqual(await complaints(sandbox, reader), [])
  })

  it('takes over in an upgrade by SIGHUP, having answered what was read', async () => {
    await using sandbox = new Sandbox()
    // Longer than the slow reads, however busy the machine is.
    const fused = await FusedProcess.start(sandbox, { keep: [], args: ['--drain-deadline', '60'] })
    const [path, slow] = [sandbox.directory('mnt'), sandbox.directory('slow')]
    await fused.mount(path)
    await fused.mount(slow, { faults: ['read-delay=4'] })
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    for (let round = 0; round < 2; round++) {
      const { pid } = fused
      const waits = read(sandbox, slow)
      await eventually('it waits', async () => (await fused.call(Fused.method.inspect, { path: slow })).pending > 0n)
      fused.running.child.kill('SIGHUP')
      await eventually('there is a successor', () => fused.running.output().split('is ready').length === round + 3)
      await fused.answers()
      assert.notEqual(fused.pid, pid)
      assert.equal((await waits).stdout, 'Hello world!\n')
    }
    assert.deepEqual(await complaints(sandbox, reader), [])
    assert.doesNotMatch(fused.log(), /still unanswered/)
  })

  it('takes over although a mount hangs as the upgrade comes, of which nothing is left', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: ['--stop-timeout', '60'] })
    const [path, hung] = [sandbox.directory('mnt'), sandbox.directory('hung')]
    await fused.mount(path)
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    const call = outcome(fused.mount(hung, { faults: ['init-hang'], deadlineMs: 100_000 }))
    await fused.logged('init-hang')
    fused.running.child.kill('SIGHUP')
    assert.notEqual((await call).code, 'OK')
    await eventually('there is a successor', () => fused.running.output().split('is ready').length === 3, 60_000)
    await fused.answers()
    assert.doesNotMatch(fused.log(), /SIGKILL/)
    assert.deepEqual(layersAt(hung), [])
    assert.deepEqual(await complaints(sandbox, reader), [])
  })

  it('takes over after Drain', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const { pid } = fused
    assert.equal((await fused.call(Fused.method.drain)).sessions, 1)
    await eventually('there is a successor', () => sandbox.processes('dummy-fused').some((one) => one !== pid))
    await fused.answers()
    assert.ok(await serves(sandbox, path))
  })
})

describe('dummy-fused on a kernel that cannot be asked for lost requests again', () => {
  const args = ['--inject', 'no-resend']

  it('cuts its sessions when it crashed, so that nobody waits for ever', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [], args })
    const [path, slow] = [sandbox.directory('mnt'), sandbox.directory('slow')]
    await fused.mount(path)
    await fused.mount(slow, { faults: ['read-delay=30'] })
    const waiting = sandbox.start('cat', [`${slow}/dummy-file.txt`])
    await eventually('it waits', async () => (await fused.call(Fused.method.inspect, { path: slow })).pending > 0n)
    await fused.replace()
    assert.match((await waiting.ended).stderr, /Software caused connection abort|Transport endpoint is not connected/)
    await fused.logged(`the session of ${path} is lost: its daemon died, and this kernel cannot send its lost requests again`)
    assert.deepEqual([...sandbox.mounts(), ...fused.records(), ...(await fused.paths())], [])
    await eventually('all descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
    await fused.mount(path)
    assert.ok(await serves(sandbox, path))
  })

  it('goes on with them after a drain', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [], args })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    const { pid } = fused
    for (let round = 0; round < 2; round++) {
      fused.running.child.kill('SIGHUP')
      await eventually('there is a successor', () => fused.running.output().split('is ready').length === round + 3)
      await fused.answers()
    }
    assert.notEqual(fused.pid, pid)
    assert.deepEqual(await complaints(sandbox, reader), [])
  })

  it('cuts them after a drain that could not answer all it had read', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [], args: [...args, '--drain-deadline', '0.5'] })
    const slow = sandbox.directory('slow')
    await fused.mount(slow, { faults: ['read-delay=300'] })
    const waiting = sandbox.start('cat', [`${slow}/dummy-file.txt`])
    await eventually('it waits', async () => (await fused.call(Fused.method.inspect, { path: slow })).pending > 0n)
    fused.running.child.kill('SIGHUP')
    await fused.logged('requests are still unanswered')
    await eventually('the reader gets an error', () => waiting.child.exitCode !== null)
    assert.match((await waiting.ended).stderr, /Software caused connection abort|Transport endpoint is not connected/)
    await fused.answers()
    assert.deepEqual([...sandbox.mounts(), ...fused.records()], [])
  })
})
