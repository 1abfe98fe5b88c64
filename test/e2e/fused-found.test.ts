import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Fused, type Session, Session_State } from '../../src/rpc/fused_pb.ts'
import { abortConnection } from '../support/connections.ts'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { layersAt, mountAt, read, serves } from '../support/mounts.ts'
import { devicesOf, type Running, Sandbox } from '../support/sandbox.ts'
import { complaints, reading, steadyReader } from '../support/steady-reader.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

/** Makes a session's record another. */
function rewrite(fused: FusedProcess, id: string, change: (record: Record<string, unknown>) => unknown): void {
  const file = join(fused.stateDir, 'sessions', `${id}.json`)
  const changed = change(JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>)
  writeFileSync(file, typeof changed === 'string' ? changed : JSON.stringify(changed))
}

describe('a successor of dummy-fused that finds', () => {
  it('a descriptor with no record serves it as the mount table has it, and its own successor too', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    const { id, connection } = await fused.mount(path)
    const reader = steadyReader(sandbox, path)
    await reading(reader)
    rmSync(join(fused.stateDir, 'sessions', `${id}.json`))
    await fused.replace()
    await fused.logged(`the session of ${path} is served with default options: there is no record of it`)
    assert.equal((await fused.call(Fused.method.inspect, { path })).session?.connection, connection)
    assert.equal(fused.records().length, 1)
    await fused.replace()
    assert.equal((await fused.call(Fused.method.inspect, { path })).session?.connection, connection)
    assert.deepEqual(await complaints(sandbox, reader), [])
    assert.equal(await fused.unmount(path), true)
    await eventually('all descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
  })

  const DAMAGES: readonly { readonly title: string; readonly damage: (file: string, text: string) => void }[] = [
    {
      title: 'empty',
      damage: (file) => {
        writeFileSync(file, '')
      },
    },
    {
      title: 'cut off in the middle',
      damage: (file, text) => {
        writeFileSync(file, text.slice(0, text.length / 2))
      },
    },
    {
      title: 'of no bytes that are text',
      damage: (file) => {
        writeFileSync(file, Buffer.from([0xff, 0xfe, 0, 1]))
      },
    },
    {
      title: 'another session’s',
      damage: (file, text) => {
        writeFileSync(file, text.replace(/"id":"\w+"/, '"id":"0123456789abcdef"'))
      },
    },
    {
      title: 'without a path',
      damage: (file, text) => {
        writeFileSync(file, text.replace('"path"', '"pfad"'))
      },
    },
    {
      title: 'a folder',
      damage: (file) => {
        rmSync(file)
        mkdirSync(file)
      },
    },
    {
      title: 'from before the last boot',
      damage: (file, text) => {
        writeFileSync(file, text.replace(/"bootId":"[^"]*"/, '"bootId":"0-0"'))
      },
    },
  ]
  it('records that are damaged serves their sessions and the others', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const damaged = new Map<string, { readonly path: string; readonly connection: number; readonly reader: Running }>()
    const mount = async (name: string): Promise<Session & { readonly reader: Running }> => {
      const path = sandbox.directory(name)
      const session = await fused.mount(path)
      const reader = steadyReader(sandbox, path)
      await reading(reader)
      return { ...session, reader }
    }
    const other = await mount('other')
    for (const [at, { title, damage }] of DAMAGES.entries()) {
      const { id, path, connection, reader } = await mount(`v${at}`)
      const file = join(fused.stateDir, 'sessions', `${id}.json`)
      damage(file, readFileSync(file, 'utf8'))
      damaged.set(title, { path, connection, reader })
    }
    // The second successor finds what the first has written.
    for (const round of ['first', 'second']) {
      await fused.replace()
      for (const [title, { path, connection }] of damaged) {
        await t.test(`a record that was ${title}, by the ${round} successor`, async () => {
          assert.equal((await fused.call(Fused.method.inspect, { path })).session?.connection, connection)
        })
      }
      assert.deepEqual(await fused.paths(), [other, ...damaged.values()].map(({ path }) => path).sort())
    }
    const readers = [other, ...damaged.values()].map(({ reader }) => reader)
    assert.deepEqual(await complaints(sandbox, ...readers), [])
    assert.equal(fused.records().filter((name) => name.endsWith('.json')).length, readers.length)
  })

  it('a record with no descriptor takes the dead mount off its path', async () => {
    await using sandbox = new Sandbox()
    const lonely = await FusedProcess.start(sandbox)
    const paths = ['one', 'two'].map((name) => sandbox.directory(name))
    for (const path of paths) await lonely.mount(path)
    lonely.running.child.kill('SIGKILL')
    await lonely.running.ended
    for (const path of paths) assert.match((await read(sandbox, path)).stderr, /Transport endpoint is not connected/)
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    for (const path of paths) {
      await fused.logged(`the session of ${path} is lost: its descriptor was not kept; its consumers get ENOTCONN`)
      assert.deepEqual(layersAt(path), [])
      await fused.mount(path)
      assert.ok(await serves(sandbox, path))
    }
    assert.equal(fused.records().length, 2)
  })

  it('a record with no descriptor, and something else mounted at its path by now, leaves that alone', async () => {
    await using sandbox = new Sandbox()
    const lonely = await FusedProcess.start(sandbox)
    const path = sandbox.directory('mnt')
    const { connection } = await lonely.mount(path)
    lonely.running.child.kill('SIGKILL')
    await lonely.running.ended
    assert.equal((await sandbox.run('umount', [path])).status, 0)
    // The kernel gives the lowest free number: as a rule the same connection's.
    const other = await FusedProcess.start(sandbox, { name: 'other' })
    const again = await other.mount(path)
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    assert.ok(await serves(sandbox, path), `connection ${again.connection}, before ${connection}: ${fused.log()}`)
    assert.deepEqual(fused.records(), [])
  })

  it('a connection that was aborted lets go of it, takes its mount off, and serves the others', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: ['--watchdog', '0'] })
    const [path, other] = [sandbox.directory('mnt'), sandbox.directory('other')]
    const { connection } = await fused.mount(path)
    await fused.mount(other)
    const reader = steadyReader(sandbox, other)
    await reading(reader)
    await stop(fused.pid)
    await abortConnection(sandbox, connection)
    await fused.replace()
    await fused.logged(`the session of ${path} is lost`)
    assert.deepEqual(layersAt(path), [])
    assert.deepEqual(await fused.paths(), [other])
    assert.equal(fused.records().length, 1)
    await fused.mount(path)
    assert.ok(await serves(sandbox, path))
    assert.deepEqual(await complaints(sandbox, reader), [])
  })

  it('a connection that is aborted while it serves says so, and serves the path again when asked', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    const { connection } = await fused.mount(path)
    await abortConnection(sandbox, connection)
    await fused.logged(`the connection of ${path} was aborted; what is mounted there is dead`)
    assert.deepEqual([...(await fused.paths()), ...fused.records()], [])
    assert.match((await read(sandbox, path)).stderr, /Transport endpoint is not connected/)
  })

  const LATER = [
    {
      title: 'a record of a newer format',
      change: (record: Record<string, unknown>) => ({ ...record, version: 2 }),
      back: (record: Record<string, unknown>) => ({ ...record, version: 1 }),
      why: /its record is of format 2, which a newer dummy-fused wrote/,
      path: false,
    },
    {
      title: 'a session of a newer protocol',
      change: (record: Record<string, unknown>) => ({ ...record, negotiated: { ...(record.negotiated as object), minor: 99 } }),
      back: (record: Record<string, unknown>) => ({ ...record, negotiated: { ...(record.negotiated as object), minor: 40 } }),
      why: /it speaks version 7\.99 of the FUSE protocol; this dummy-fused knows 7\.31 to 7\.45/,
      path: true,
    },
  ]
  it('what a newer program wrote holds it for one that knows it, whose readers then go on', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const other = sandbox.directory('other')
    await fused.mount(other)
    const later = []
    for (const [at, one] of LATER.entries()) {
      const path = sandbox.directory(`v${at}`)
      const { id } = await fused.mount(path)
      const reader = steadyReader(sandbox, path)
      await reading(reader)
      later.push({ ...one, at: path, id, reader })
    }
    for (const { id, change } of later) rewrite(fused, id, change)
    await fused.replace()
    const { sessions } = await fused.call(Fused.method.list)
    assert.ok(await serves(sandbox, other))
    for (const { title, at, id, why, path: known } of later) {
      await t.test(title, async () => {
        await fused.logged(new RegExp(`session ${id} is held for 60 s: .*install the version that wrote it`))
        const held = sessions.find((one) => one.id === id)
        assert.equal(held?.state, Session_State.HELD)
        assert.match(held.reason, why)
        assert.equal(held.path, known ? at : '')
        const refused = await outcome(fused.mount(at))
        assert.equal(refused.code, known ? 'UNAVAILABLE' : 'FAILED_PRECONDITION', refused.details)
      })
    }
    for (const { id, back } of later) rewrite(fused, id, back)
    await fused.replace()
    for (const { at, id } of later) {
      assert.equal((await fused.call(Fused.method.inspect, { path: at })).session?.id, id)
    }
    assert.deepEqual(await complaints(sandbox, ...later.map(({ reader }) => reader)), [])
  })

  it('what a newer program wrote gives it up at its deadline: readers get an error, no endless wait', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [], args: ['--takeover-deadline', '1'] })
    const later = []
    for (const [at, { change }] of LATER.entries()) {
      const path = sandbox.directory(`v${at}`)
      later.push({ path, change, id: (await fused.mount(path)).id })
    }
    for (const { id, change } of later) rewrite(fused, id, change)
    await fused.replace()
    const waiting = later.map(({ path }) => sandbox.start('cat', [`${path}/dummy-file.txt`]))
    for (const { id } of later) await fused.logged(new RegExp(`session ${id} is given up: .*; its consumers get ENOTCONN`))
    for (const { ended } of waiting) {
      assert.match((await ended).stderr, /Transport endpoint is not connected|Software caused connection abort/)
    }
    for (const { path } of later) assert.match((await read(sandbox, path)).stderr, /Transport endpoint is not connected/)
    await eventually('all descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
    assert.deepEqual([...fused.records(), ...(await fused.paths())], [])
    await fused.replace()
    for (const { path } of later) {
      assert.equal(mountAt(path).fsType, 'fuse.dummy-fuse')
      assert.equal((await sandbox.run('umount', [path])).status, 0)
      await fused.mount(path)
      assert.ok(await serves(sandbox, path))
    }
  })

  it('one name used twice serves the session once', async () => {
    await using sandbox = new Sandbox()
    // Hands every session's descriptor over twice, as a store would that counts copies apart.
    const code = [
      'import os, sys',
      'count, names = int(os.environ.get("LISTEN_FDS", 0)), os.environ.get("LISTEN_FDNAMES", "").split(":")',
      'for at in range(1, count):',
      '    os.dup2(3 + at, 3 + count + at - 1)',
      '    os.environ["LISTEN_FDS"] = str(count + at)',
      '    os.environ["LISTEN_FDNAMES"] += ":" + names[at]',
      'os.execv(sys.argv[1], sys.argv[1:])',
    ].join('\n')
    const fused = await FusedProcess.start(sandbox, { keep: [], through: ['/usr/bin/python3', '-c', code] })
    const paths = ['one', 'two'].map((name) => sandbox.directory(name))
    const ids = []
    for (const path of paths) ids.push((await fused.mount(path)).id)
    const readers = paths.map((path) => steadyReader(sandbox, path))
    for (const reader of readers) await reading(reader)
    for (let round = 0; round < 2; round++) {
      await fused.replace()
      for (const id of ids) await fused.logged(`the name ${id} was used twice`)
      assert.equal(devicesOf(fused.pid), 2)
      await eventually('keep has closed the others', () => devicesOf(fused.running.pid) === 2)
      assert.deepEqual(await fused.paths(), [...paths].sort())
    }
    assert.deepEqual(await complaints(sandbox, ...readers), [])
  })
})
