import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { Identity } from '../../src/rpc/csi_pb.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { DUMMY_FUSED, FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { devicesOf, type Running, Sandbox } from '../support/sandbox.ts'
import { StandbyProcess } from '../support/standby.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

/** Waits until a call on a new connection succeeds. */
async function answers(plugin: Plugin): Promise<void> {
  await eventually(`the plugin answers; it said: ${plugin.log()}`, async () => {
    plugin.reconnect()
    return (await outcome(plugin.call(Identity.method.probe))).code === 'OK'
  })
}

/** Takes a plugin's socket away and starts another plugin there, which listens before the first one can make its socket anew. */
async function replace(sandbox: Sandbox, plugin: Plugin): Promise<Running> {
  await stop(plugin.pid)
  rmSync(plugin.socket)
  const args = ['serve', '--endpoint', `unix://${plugin.socket}`, '--state-dir', join(sandbox.path, 'other-state')]
  const other = sandbox.start(EXECUTABLE, args)
  await eventually('the other plugin listens', () => other.output().includes('Listening for connections'), 30_000)
  process.kill(plugin.pid, 'SIGCONT')
  return other
}

describe('a plugin whose socket vanishes', { concurrency: 4 }, () => {
  const ways: Readonly<Record<string, (folder: string) => void>> = {
    'is removed': (folder) => {
      rmSync(join(folder, 'csi.sock'))
    },
    'is moved': (folder) => {
      renameSync(join(folder, 'csi.sock'), join(folder, 'moved.sock'))
    },
    'is removed with its folder': (folder) => {
      rmSync(folder, { recursive: true })
    },
    'is moved with its folder': (folder) => {
      renameSync(folder, `${folder}-moved`)
    },
  }
  for (const [title, act] of Object.entries(ways)) {
    it(`says so and makes it anew: it ${title}`, async () => {
      await using sandbox = new Sandbox()
      const folder = sandbox.directory('folder')
      using plugin = await Plugin.start(sandbox, { name: 'folder/csi' })
      await plugin.call(Identity.method.probe)
      act(folder)
      await plugin.logged(`the socket ${plugin.socket} is gone`)
      await plugin.logged(`Listening again on ${plugin.socket}`)
      // Those who were connected still are.
      await plugin.call(Identity.method.probe)
      await answers(plugin)
      assert.equal(statSync(plugin.socket).mode & 0o777, 0o600)
      assert.equal((await plugin.stop()).status, 0)
      assert.ok(!existsSync(plugin.socket))
    })
  }

  it('leaves it to another plugin that has taken its place, and takes it back when that has ended', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const other = await replace(sandbox, plugin)
    await plugin.logged(`another process listens on ${plugin.socket}`)
    assert.doesNotMatch(other.output(), /another process listens/)
    assert.equal(plugin.log().split('another process listens').length, 2, 'it is said once')
    other.child.kill('SIGTERM')
    assert.equal((await other.ended).status, 0)
    await plugin.logged(`Listening again on ${plugin.socket}`)
    await answers(plugin)
  })

  it('leaves the socket of another plugin alone when it ends', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const other = await replace(sandbox, plugin)
    assert.equal((await plugin.stop()).status, 0)
    assert.ok(existsSync(plugin.socket))
    plugin.reconnect()
    await plugin.call(Identity.method.probe)
    other.child.kill('SIGTERM')
    assert.equal((await other.ended).status, 0)
    assert.ok(!existsSync(plugin.socket))
  })

  it('leaves anything else in its place alone', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    rmSync(plugin.socket)
    writeFileSync(plugin.socket, 'content')
    await plugin.logged(`another file is in the place of the socket ${plugin.socket}`)
    await plugin.logged('exists and is no socket; remove it')
    assert.equal((await plugin.stop()).status, 0)
    assert.equal(readFileSync(plugin.socket, 'utf8'), 'content')
  })
})

describe('a dummy-fused whose socket vanishes', { concurrency: 4 }, () => {
  it('makes it anew, by itself and with its folder', async () => {
    await using sandbox = new Sandbox()
    sandbox.directory('folder')
    const fused = await FusedProcess.start(sandbox, { name: 'folder/fused' })
    for (const [count, path] of [fused.socket, dirname(fused.socket)].entries()) {
      rmSync(path, { recursive: true })
      const gone = (): number => fused.log().split(`the socket ${fused.socket} is gone`).length - 1
      await eventually('it says so', () => gone() === count + 1)
      await fused.answers()
    }
    assert.equal((await fused.stop()).status, 0)
    assert.ok(!existsSync(fused.socket))
  })

  it('gets it anew from keep, and its sessions go on', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    const { connection } = await fused.mount(path)
    rmSync(fused.socket)
    await fused.logged(`Listening again on ${fused.socket}`)
    await fused.answers()
    assert.ok(await serves(sandbox, path))
    assert.deepEqual(
      (await fused.call(Fused.method.list)).sessions.map((session) => session.connection),
      [connection],
    )
    assert.equal((await fused.stop()).status, 0)
    assert.ok(!existsSync(fused.socket))
  })

  it('says whose it is to make anew: it was handed over', async () => {
    await using sandbox = new Sandbox()
    const [socket, state] = [join(sandbox.path, 'given.sock'), join(sandbox.path, 'state')]
    const args = ['--socket', join(sandbox.path, 'unused.sock'), '--state-dir', state]
    const running = sandbox.start('systemd-socket-activate', ['-l', socket, DUMMY_FUSED, ...args])
    // The first connection has it started. The socket is there a moment before it is listened on.
    const connect = ['-c', `import socket; socket.socket(socket.AF_UNIX).connect(${JSON.stringify(socket)})`]
    await eventually('a client connects', async () => (await sandbox.run('python3', connect)).status === 0)
    const said = async (text: string): Promise<void> => {
      await eventually(`it says ${text}: ${running.output()}`, () => running.output().includes(text))
    }
    await said(`Listening for connections on &net.UnixAddr{Name:"${socket}"`)
    await said(`${join(sandbox.path, 'unused.sock')} is not listened on: another socket was passed`)
    assert.ok(!existsSync(join(sandbox.path, 'unused.sock')))
    rmSync(socket)
    await said(`the socket ${socket} is gone, and clients cannot connect; make it again where it was made`)
  })
})

describe('a standby whose socket vanishes', () => {
  it('makes it anew, and its daemon finds it', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    const standby = await StandbyProcess.start(sandbox, fused)
    const socket = join(fused.stateDir, 'standby.sock')
    rmSync(socket)
    await standby.logged(/Listening again on .*standby\.sock/)
    const another = sandbox.directory('another')
    await fused.mount(another)
    await eventually(`the standby has both devices: ${standby.log()}`, () => devicesOf(standby.pid) === 2)
    rmSync(socket)
    mkdirSync(socket)
    await standby.logged(/another file is in the place of the socket .*standby\.sock/)
    standby.signal('SIGTERM')
    assert.equal((await standby.ended()).status, 0)
    assert.ok(statSync(socket).isDirectory())
  })
})
