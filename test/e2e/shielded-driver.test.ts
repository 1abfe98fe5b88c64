import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { shieldAt } from '../../src/shield/control-folder.ts'
import { CsiClient } from '../support/csi-client.ts'
import { peer } from '../support/driver-run.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { DAEMONS } from '../support/shield-daemons.ts'
import { fill, ShieldedReader, shieldStatus } from '../support/shield.ts'
import { eventually } from '../support/wait.ts'

/** Milliseconds for a program that logs in, on a busy machine. */
const LONG = 120_000

/** An environment whose PATH begins with a folder of links in the place of some programs. */
function withLinks(sandbox: Sandbox, ...names: readonly string[]): NodeJS.ProcessEnv & { readonly PATH: string } {
  const folder = sandbox.directory('bin')
  for (const name of names) {
    symlinkSync(EXECUTABLE, join(folder, `dummy-fuse-csi-shielded-${name}`))
    symlinkSync(`dummy-fuse-csi-shielded-${name}`, join(folder, name))
  }
  return { ...process.env, PATH: `${folder}:${process.env.PATH}`, TMPDIR: sandbox.directory('temporary') }
}

/** Resolves when there is no shield, no daemon and no mount any more. */
async function gone(sandbox: Sandbox, daemon: string): Promise<void> {
  const left = (): readonly number[] => ['dummy-shield', 'dummy-fuse-keep', daemon].flatMap((comm) => sandbox.processes(comm))
  await eventually('its processes have ended', () => left().length === 0, LONG)
  assert.deepEqual(sandbox.mounts(), [])
  assert.deepEqual(readdirSync(join(sandbox.path, 'temporary')), [])
}

describe('a link in the place of a FUSE program', () => {
  it(
    'has the volume of a driver that executes sshfs outlive its sshfs, and ends when the driver unmounts',
    { timeout: 280_000 },
    async () => {
      await using sandbox = new Sandbox()
      const folder = sandbox.directory('filled')
      fill(folder)
      const words = (await DAEMONS.sshfs?.(sandbox, folder)) ?? []
      const [program = '', ...asked] = words.filter((word) => word !== '-f' && word !== '{target}')
      const [socket, target, log] = ['csi.sock', 'target', 'log'].map((name) => join(sandbox.path, name)) as [
        string,
        string,
        string,
      ]
      const env = { ...withLinks(sandbox, 'sshfs'), DUMMY_FUSE_SHIELD_OPTIONS: `--give-up 120 --log-file ${log}` }
      const [file = '', ...args] = peer('fuse-driver', socket, program, ...asked)
      const driver = sandbox.start(file, args, { env })
      await eventually('the driver listens', () => existsSync(socket), LONG)
      using client = new CsiClient(socket)
      await client.call(Node.method.nodePublishVolume, { volumeId: 'v', targetPath: target }, LONG)
      const reader = await ShieldedReader.start(sandbox, target)
      const killed: number[] = []
      while (killed.length < 3) {
        const next = (): number | undefined => sandbox.processes('sshfs').find((pid) => !killed.includes(pid))
        const pid = await eventually('an sshfs runs', next, LONG)
        process.kill(pid, 'SIGKILL')
        killed.push(pid)
        await reader.check()
      }
      await reader.end()
      assert.match(readFileSync(log, 'utf8'), /sshfs ended with SIGKILL; it is started again\n/)
      await client.call(Node.method.nodeUnpublishVolume, { volumeId: 'v', targetPath: target }, LONG)
      await gone(sandbox, 'sshfs')
      assert.equal(shieldAt(target), undefined)
      assert.ok(!existsSync(target))
      assert.equal(driver.child.exitCode, null, driver.output())
    },
  )

  it(
    'finds the mount point among several directories, stays in the foreground, and passes on a call that mounts nothing',
    { timeout: 280_000 },
    async () => {
      await using sandbox = new Sandbox()
      const folder = sandbox.directory('filled')
      writeFileSync(join(folder, 'f'), 'text')
      const words = (await DAEMONS.gocryptfs?.(sandbox, folder)) ?? []
      const env = withLinks(sandbox, 'gocryptfs')
      // Braces are a part of a name here, and no placeholder.
      const mountpoint = sandbox.directory('mount{ed}')
      const [program = '', ...args] = words.map((word) => (word === '{target}' ? mountpoint : word))
      const wrapper = sandbox.start(program, args, { env })
      const isThere = (): boolean => existsSync(join(mountpoint, 'f')) || wrapper.child.exitCode !== null
      await eventually(`mounted: ${wrapper.output()}`, isThere, LONG)
      const { daemon } = await shieldStatus(sandbox, mountpoint)
      assert.ok(daemon !== null, wrapper.output())
      process.kill(daemon.pid, 'SIGKILL')
      const read = await sandbox.run('cat', [join(mountpoint, 'f')], { timeout: LONG })
      assert.equal(read.stdout, 'text', read.stderr + wrapper.output())
      wrapper.child.kill('SIGTERM')
      assert.equal((await wrapper.ended).status, 0, wrapper.output())
      assert.match(wrapper.output(), /dummy-fuse-csi-shielded-gocryptfs: the mount is read-only: gocryptfs may lose a write/)
      await gone(sandbox, 'gocryptfs')

      const passedOn = await sandbox.run(program, ['-info', sandbox.directory('empty')], { env })
      const itself = await sandbox.run(program, ['-info', sandbox.directory('empty')])
      assert.notEqual(itself.status, 0)
      assert.deepEqual(passedOn, itself)
    },
  )

  it('says what is missing', async () => {
    await using sandbox = new Sandbox()
    const env = withLinks(sandbox, 'some-daemon', 'bindfs')
    const folder = sandbox.directory('folder')
    const unknown = await sandbox.run('some-daemon', [folder], { env })
    assert.match(
      unknown.stderr,
      /nothing tells how some-daemon stays in the foreground; set DUMMY_FUSE_SHIELD_FOREGROUND to .* known are bindfs, /,
    )
    assert.equal(unknown.status, 2)
    const absent = await sandbox.run('some-daemon', [folder], { env: { ...env, DUMMY_FUSE_SHIELD_FOREGROUND: '-f' } })
    assert.match(absent.stderr, /there is no some-daemon on PATH beside the shield's own; /)
    assert.equal(absent.status, 1)
    const asking = await sandbox.run('bindfs', ['-o', 'ro,password_stdin', folder, folder], { env })
    assert.match(asking.stderr, /bindfs is to read a password from its standard input/)
    assert.equal(asking.status, 2)
    const options = { ...env, DUMMY_FUSE_SHIELD_OPTIONS: 'status' }
    const wrong = await sandbox.run('bindfs', [folder, sandbox.directory('mount')], { env: options })
    assert.match(wrong.stderr, /DUMMY_FUSE_SHIELD_OPTIONS is 'status'; it has options of shield alone/)
    assert.equal(wrong.status, 2)
  })
})
