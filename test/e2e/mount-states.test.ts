import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mount, mountAt, serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { argumentsOf, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** What a table of states needs to set one up. `other` is a volume that is staged and alive. */
interface Scene {
  readonly sandbox: Sandbox
  readonly other: Volume
  readonly volume: Volume
}

/** A state that a path can be in, and the status of each RPC that finds it so. */
interface State {
  readonly state: string
  readonly make: (scene: Scene) => Promise<unknown>
  readonly expected: Readonly<Record<string, string>>
}

const OK = { Stage: 'OK', Publish: 'OK', Unstage: 'OK' }
const FOREIGN = { Stage: 'FAILED_PRECONDITION', Publish: 'FAILED_PRECONDITION', Unstage: 'FAILED_PRECONDITION' }

/** A process that holds the file below a directory open; it says so before it is waited for. */
async function hold(sandbox: Sandbox, directory: string): Promise<void> {
  const holder = sandbox.start('tail', ['-f', `${directory}/dummy-file.txt`], { cwd: sandbox.path })
  await eventually('the file is held open', () => holder.output().includes('Hello'))
}

const STAGING: readonly State[] = [
  {
    state: 'NOT_MOUNTED and no directory',
    make: async ({ sandbox, volume }) => await sandbox.run('rmdir', [volume.staging]),
    expected: OK,
  },
  { state: 'NOT_MOUNTED', make: () => Promise.resolve(), expected: OK },
  { state: 'MOUNTED by us', make: async ({ volume }) => await volume.stage(), expected: OK },
  {
    state: 'MOUNTED with a tmpfs',
    make: async ({ sandbox, volume }) => await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', volume.staging]),
    expected: FOREIGN,
  },
  {
    state: "MOUNTED with another volume's session",
    make: async ({ sandbox, volume, other }) => await sandbox.run('mount', ['--bind', other.staging, volume.staging]),
    expected: { ...FOREIGN, Unstage: 'OK' },
  },
  {
    state: 'DEAD',
    make: async ({ volume }) => {
      await volume.stage()
      await volume.killDaemon()
    },
    expected: OK,
  },
  {
    state: 'DEAD with a file held open',
    make: async ({ sandbox, volume }) => {
      await volume.stage()
      await hold(sandbox, volume.staging)
      await volume.killDaemon()
    },
    expected: OK,
  },
  {
    state: 'DEAD in three layers',
    make: async ({ volume }) => {
      await volume.stage()
      mount('--bind', volume.staging, volume.staging)
      mount('--bind', volume.staging, volume.staging)
      await volume.killDaemon()
    },
    expected: OK,
  },
  {
    state: 'HUNG',
    make: async ({ volume }) => {
      await volume.stage()
      await volume.stopDaemon()
    },
    expected: OK,
  },
  {
    state: 'HUNG with a file held open',
    make: async ({ sandbox, volume }) => {
      await volume.stage()
      await hold(sandbox, volume.staging)
      await volume.stopDaemon()
    },
    expected: OK,
  },
]

const RPCS: Readonly<Record<string, (volume: Volume) => Promise<void>>> = {
  Stage: async (volume) => await volume.stage(),
  Publish: async (volume) => await volume.publish(),
  Unstage: async (volume) => await volume.unstage(),
}

void test('each RPC does what the state of the staging path needs, within 10 s', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const other = new Volume(sandbox, plugin, 'other')
  await other.stage()
  let count = 0
  for (const { state, make, expected } of STAGING) {
    for (const [rpc, call] of Object.entries(RPCS)) {
      await t.test(`${rpc} with a staging path that is ${state}: ${expected[rpc] ?? ''}`, async () => {
        const volume = new Volume(sandbox, plugin, `volume-${++count}`)
        await make({ sandbox, other, volume })
        const before = layersAt(volume.staging)
        const { code, details } = await outcome(call(volume))
        assert.equal(code, expected[rpc], details)
        if (code !== 'OK') {
          assert.deepEqual(layersAt(volume.staging), before, 'a refused call changed what is mounted')
          assert.ok(details.includes(volume.staging), details)
        } else if (rpc === 'Unstage') {
          assert.deepEqual(layersAt(volume.staging), [])
          assert.throws(() => volume.daemon())
          assert.equal((await outcome(volume.unstage())).code, 'OK', 'Unstage is idempotent')
        } else {
          assert.ok(await serves(sandbox, rpc === 'Publish' ? volume.target : volume.staging))
          assert.equal(layersAt(volume.staging).length, state === 'MOUNTED by us' ? before.length : 1)
          if (state === 'MOUNTED by us') assert.deepEqual(layersAt(volume.staging), before, 'what was alive was mounted anew')
          assert.equal((await outcome(call(volume))).code, 'OK', `${rpc} is idempotent`)
          if (rpc === 'Publish') await volume.unpublish()
          await volume.unstage()
          assert.deepEqual(layersAt(volume.staging), [])
        }
      })
    }
  }
  assert.ok(await serves(sandbox, other.staging), 'another volume was harmed')
  await other.unstage()
  assert.deepEqual(plugin.daemons(), [], 'daemons were left over')
  assert.deepEqual(plugin.entries(), [], 'entries were left over')
})

const TARGET_OK = { Publish: 'OK', Unpublish: 'OK' }

const TARGET: readonly State[] = [
  { state: 'NOT_MOUNTED and no directory', make: () => Promise.resolve(), expected: TARGET_OK },
  {
    state: 'NOT_MOUNTED, a directory that the plugin did not make',
    make: ({ sandbox, volume }) => Promise.resolve(sandbox.directory('pods', volume.id, 'pod', 'mount')),
    expected: TARGET_OK,
  },
  { state: 'MOUNTED by us', make: async ({ volume }) => await volume.publish(), expected: TARGET_OK },
  {
    state: 'MOUNTED by us, in three layers',
    make: async ({ volume }) => {
      await volume.publish()
      mount('--bind', volume.target, volume.target)
      mount('--bind', volume.target, volume.target)
    },
    expected: TARGET_OK,
  },
  {
    state: 'MOUNTED by us with a tmpfs on top',
    make: async ({ volume }) => {
      await volume.publish()
      mount('-t', 'tmpfs', 'tmpfs', volume.target)
    },
    expected: { Publish: 'FAILED_PRECONDITION', Unpublish: 'OK' },
  },
  {
    state: 'MOUNTED with a tmpfs',
    make: async ({ sandbox, volume }) =>
      await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', sandbox.directory('pods', volume.id, 'pod', 'mount')]),
    expected: { Publish: 'FAILED_PRECONDITION', Unpublish: 'FAILED_PRECONDITION' },
  },
  {
    state: "MOUNTED with another volume's session",
    make: async ({ sandbox, volume, other }) =>
      await sandbox.run('mount', ['--bind', other.staging, sandbox.directory('pods', volume.id, 'pod', 'mount')]),
    expected: { Publish: 'FAILED_PRECONDITION', Unpublish: 'OK' },
  },
  {
    state: 'DEAD, as its staging path is',
    make: async ({ volume }) => {
      await volume.publish()
      await volume.killDaemon()
    },
    expected: TARGET_OK,
  },
  {
    state: 'DEAD under a staging path that was mounted anew',
    make: async ({ volume }) => {
      await volume.publish()
      await volume.killDaemon()
      await volume.stage()
    },
    expected: TARGET_OK,
  },
  {
    state: 'DEAD with a file held open',
    make: async ({ sandbox, volume }) => {
      await volume.publish()
      await hold(sandbox, volume.target)
      await volume.killDaemon()
    },
    expected: TARGET_OK,
  },
  {
    state: 'HUNG',
    make: async ({ volume }) => {
      await volume.publish()
      await volume.stopDaemon()
    },
    expected: TARGET_OK,
  },
]

const TARGET_RPCS: Readonly<Record<string, (volume: Volume) => Promise<void>>> = {
  Publish: async (volume) => await volume.publish(),
  Unpublish: async (volume) => await volume.unpublish(),
}

void test('each RPC does what the state of the target needs, within 10 s', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const other = new Volume(sandbox, plugin, 'other')
  await other.stage()
  let count = 0
  for (const { state, make, expected } of TARGET) {
    for (const [rpc, call] of Object.entries(TARGET_RPCS)) {
      await t.test(`${rpc} with a target that is ${state}: ${expected[rpc] ?? ''}`, async () => {
        const volume = new Volume(sandbox, plugin, `volume-${++count}`)
        await volume.stage()
        await make({ sandbox, other, volume })
        const before = layersAt(volume.target)
        const { code, details } = await outcome(call(volume))
        assert.equal(code, expected[rpc], details)
        if (code !== 'OK') {
          assert.deepEqual(layersAt(volume.target), before, 'a refused call changed what is mounted')
          assert.ok(details.includes(volume.target), details)
        } else if (rpc === 'Publish') {
          assert.equal(mountAt(volume.target).device, mountAt(volume.staging).device)
          assert.ok(await serves(sandbox, volume.target))
          await volume.unpublish()
        }
        if (expected.Unpublish === 'OK') {
          await volume.unpublish()
          assert.deepEqual(layersAt(volume.target), [])
          await volume.unstage()
          assert.deepEqual(layersAt(volume.staging), [])
        }
      })
    }
  }
  assert.ok(await serves(sandbox, other.staging), 'another volume was harmed')
})

void test('a daemon that was hung is dead once its mount was replaced', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  const pid = await volume.stopDaemon()
  const session = mountAt(volume.staging).device
  await volume.publish()
  assert.deepEqual(argumentsOf(pid), [])
  assert.notEqual(mountAt(volume.target).device, session)
  assert.ok(await serves(sandbox, volume.target))
})

void test('a path below a hung mount is refused within 10 s, by a symbolic link too, and keeps nobody else waiting', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const hung = new Volume(sandbox, plugin, 'hung')
  const well = new Volume(sandbox, plugin, 'well')
  await hung.stage()
  await well.publish()
  await hung.stopDaemon()
  const link = join(sandbox.path, 'link')
  const chain = join(sandbox.path, 'link-to-link')
  symlinkSync(hung.staging, link)
  symlinkSync('link', chain)
  const rpcs: Readonly<Record<string, (id: string, path: string) => Promise<void>>> = {
    Stage: async (id, path) => await plugin.stage(id, path),
    'Publish to': async (id, path) => await plugin.publish(id, join(sandbox.path, id), path),
    'Publish from': async (id, path) => await plugin.publish(id, path, join(sandbox.path, id)),
    Unpublish: async (id, path) => await plugin.unpublish(id, path),
    Unstage: async (id, path) => await plugin.unstage(id, path),
  }
  const cases = Object.entries(rpcs).flatMap(([rpc, call], row) =>
    [hung.staging, link, chain].map((prefix, column) => {
      const id = `${row}-${column}`
      return {
        title: `${rpc} ${prefix.slice(sandbox.path.length)}/below`,
        call: () => call(id, join(prefix, `below-${id}`, 'deeper')),
      }
    }),
  )
  const outcomes = cases.map(async ({ title, call }) => ({ title, ...(await outcome(call())) }))
  assert.deepEqual(await well.reasons(), [], 'another call waits for the hung one')
  for (const { title, code, details } of await Promise.all(outcomes)) {
    await t.test(title, () => {
      assert.equal(code, 'FAILED_PRECONDITION', details)
      assert.match(details, /hung fuse\.dummy-fuse mount/)
    })
  }
})

void test("a target that holds files on the node's own disk is refused by Unpublish, and nothing in it deleted", async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  await sandbox.run('umount', [volume.target])
  const file = join(volume.target, 'precious')
  closeSync(openSync(file, 'wx'))
  for (let attempt = 0; attempt < 2; attempt++) {
    const { code, details } = await outcome(volume.unpublish())
    assert.equal(code, 'FAILED_PRECONDITION', details)
    assert.ok(existsSync(file))
  }
  await sandbox.run('rm', [file])
  await volume.unpublish()
  assert.ok(!existsSync(volume.target))
})
