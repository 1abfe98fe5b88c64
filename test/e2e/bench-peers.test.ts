import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { volumeByHand, volumesByHand } from '../../bench/by-hand.ts'
import { cHello, latencies, latencyReader, manyMounts, stamp } from '../../bench/peers/peers.ts'
import { Spawner } from '../../bench/spawner.ts'
import { endOf, mountDummyFuse } from '../support/mounting.ts'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'
import { GREETING, layersAt, mount, read } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

async function mountHello(sandbox: Sandbox, args: readonly string[] = []): Promise<string> {
  const path = sandbox.directory('hello')
  const { status, stderr } = await sandbox.run(await cHello(), [...args, path])
  assert.equal(status, 0, stderr)
  return path
}

describe('the bench’s C programs', () => {
  it('serve the tree that dummy-fuse serves', async () => {
    await using sandbox = new Sandbox()
    const paths = [await mountDummyFuse(sandbox), await mountHello(sandbox)]
    const [ours, peer] = await Promise.all(
      paths.map(async (path) => {
        const { stdout } = await sandbox.run('find', [path, '-printf', '%P %y %m %n %s %i %U %G %T@\\n'])
        return stdout
      }),
    )
    assert.match(ours ?? '', /^dummy-file\.txt f 444 1 13 2 0 0/m)
    assert.equal(peer, ours)
    assert.equal((await read(sandbox, paths[1] ?? '')).stdout, GREETING)
  })

  it('take the peer’s mount off when it is told to end', async () => {
    await using sandbox = new Sandbox()
    const path = await mountHello(sandbox, ['-o', 'fsname=peer'])
    assert.equal(layersAt(path).at(-1)?.source, 'peer')
    for (const pid of sandbox.processes()) process.kill(pid, 'SIGTERM')
    await eventually('it is unmounted', () => layersAt(path).length === 0)
  })

  for (const mode of ['lookup', 'absent', 'read'] as const) {
    for (const readers of [1, 3, 'in-process'] as const) {
      it(`time ${mode} with ${readers} readers`, async () => {
        await using sandbox = new Sandbox()
        const path = await mountHello(sandbox)
        const file = `${path}/dummy-file.txt`
        const { p50, p99, max, ...rest } = await latencies(sandbox, { mode, readers, rounds: 50, files: [file, file] })
        const count = readers === 'in-process' ? 1 : readers
        assert.deepEqual(rest, { mode, readers: count, count: count * 50 })
        assert.ok(p50 > 0 && p50 <= p99 && p99 <= max)
      })
    }
  }

  it('fail at a file that is not what it is to be', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('elsewhere')
    mount('-t', 'tmpfs', 'elsewhere', path)
    for (const mode of ['lookup', 'read']) {
      const { status, stdout, stderr } = await sandbox.run(await latencyReader(), ['--mode', mode, '--readers', '2', `${path}/no`])
      assert.deepEqual({ status, stdout }, { status: 1, stdout: '' })
      assert.match(stderr, /No such file or directory/)
    }
  })

  it('fail at a name that is there and must be absent, and at readers that are many and in one process', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('present')
    writeFileSync(`${path}/file-2`, '')
    const { status, stdout, stderr } = await sandbox.run(await latencyReader(), [
      '--mode',
      'absent',
      '--in-process',
      `${path}/file`,
    ])
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' })
    assert.match(stderr, /name that must be absent .*file-2/)
    const many = await sandbox.run(await latencyReader(), ['--mode', 'absent', '--readers', '2', '--in-process', `${path}/file`])
    assert.equal(many.status, 2)
  })

  it('are a volume by hand, whose life ends with its daemon', async () => {
    await using sandbox = new Sandbox()
    using spawner = new Spawner()
    const all = await volumesByHand(sandbox, 3)
    const { act, undo } = await spawner.life(await volumeByHand(sandbox))
    assert.ok(act > 0 && undo > 0)
    assert.ok((await spawner.atOnce(all)) > 0)
    assert.deepEqual([...sandbox.mounts(), ...sandbox.processes()], [])
    await assert.rejects(spawner.life({ act: [['false']], undo: [] }), /false.* ended with 1/)
  })

  it('hold a mount namespace with many mounts in it, which nobody else sees', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('others')
    const holder = sandbox.start(await manyMounts(), ['50', path])
    await eventually('its mounts are there', () => holder.output().includes('ready'))
    const inside = parseMountinfo(readFileSync(`/proc/${holder.pid}/mountinfo`, 'utf8'))
    assert.equal(inside.filter(({ mountPoint }) => mountPoint.startsWith(`${path}/`)).length, 50)
    assert.deepEqual(sandbox.mounts(), [])
  })

  it('write down when a program was killed, and when it was executed', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'stamps')
    const program = await stamp()
    const stamped = (): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')
    const victim = sandbox.start(program, [file])
    await eventually('it is executed', () => stamped().startsWith('exec '))
    const killing = await sandbox.run(program, ['--kill', String(victim.pid), file])
    assert.equal(killing.status, 0, killing.stderr)
    assert.equal((await endOf(victim)).signal, 'SIGKILL')
    const [, executed, killed] = /^exec (\d+)\nkill (\d+)\n$/.exec(stamped()) ?? []
    assert.ok(Number(executed) < Number(killed), stamped())
    const { status } = await sandbox.run(program, ['--kill', '-1', file])
    assert.equal(status, 1, 'it kills no group of processes')
  })
})
