import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { mountAt } from '../support/mounts.ts'
import { type Asked, EXAMPLES, keptOfPrograms, ProgramVolume, serveProgram, showsToUsers } from '../support/program.ts'
import { CONTENT, folder, KEY_ID, PROGRAMS, S3_SECRETS } from '../support/program-storage.ts'
import { Sandbox } from '../support/sandbox.ts'
import { CSI_SANITY } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'

const OK = { code: 'OK', details: '' }

describe('the programs of examples/programs', () => {
  it('are all tested here, but for ceph-fuse, which scripts/lab-programs tests', () => {
    const files = readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml'))
    assert.deepEqual(
      files.map((name) => name.replace('.yaml', '')),
      [...Object.keys(PROGRAMS), 'ceph-fuse'].sort(),
    )
  })

  for (const [name, prepare] of Object.entries(PROGRAMS)) {
    it(
      `${name} serves a volume, is mounted again when it dies and when the plugin starts anew, and leaves nothing`,
      { timeout: 280_000 },
      async () => {
        await using sandbox = new Sandbox()
        const { fsType, writable, server: _, ...asked } = await prepare(sandbox)
        using plugin = await serveProgram(sandbox, join(EXAMPLES, `${name}.yaml`), {
          args: ['--call-deadline', '60'],
          // rclone keeps its cache there.
          env: { HOME: sandbox.path },
        })
        const volume = new ProgramVolume(sandbox, plugin, { ...asked, deadline: 60_000 })
        assert.deepEqual(await volume.stage(), OK, plugin.log())
        assert.deepEqual(await volume.publish(), OK)
        assert.equal(mountAt(volume.staging).fsType, fsType)
        assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), CONTENT)
        if (writable) {
          writeFileSync(join(volume.target, 'written'), 'by a pod\n')
          assert.equal(readFileSync(join(volume.target, 'written'), 'utf8'), 'by a pod\n')
        }
        assert.deepEqual(await volume.reasons(), [])
        for (const secret of Object.values(asked.secrets ?? {}).filter((one) => one !== KEY_ID)) {
          assert.ok(!sandbox.processes().some((pid) => showsToUsers(pid, secret)), 'a secret is on a command line')
          assert.ok(!plugin.log().includes(secret), 'a secret is in the log')
        }

        const first = volume.daemon()
        process.kill(first, 'SIGKILL')
        await eventually('the daemon is gone', () => processStat(first) === undefined)
        await eventually('the volume is dead', async () => (await volume.reasons()).includes('DaemonDead'))
        assert.deepEqual(await volume.publish(), OK)
        assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), CONTENT)

        await plugin.kill()
        await plugin.restart()
        assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), CONTENT, plugin.log())
        assert.deepEqual(await volume.reasons(), [])
        assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK], plugin.log())
        assert.deepEqual([...keptOfPrograms(plugin), ...plugin.entries()], [])
        const mounts = sandbox.mounts().filter((path) => path.startsWith(volume.staging) || path.startsWith(volume.target))
        assert.deepEqual([mounts, existsSync(volume.target)], [[], false])
        if (writable) {
          // What was written is in the storage.
          const again = new ProgramVolume(sandbox, plugin, { ...asked, deadline: 60_000 }, 'v2')
          assert.deepEqual([await again.stage(), await again.publish()], [OK, OK])
          assert.ok(existsSync(join(again.target, 'f')))
          assert.deepEqual([await again.unpublish(), await again.unstage()], [OK, OK])
        }
      },
    )
  }

  /** Storage that cannot be reached, or lets nobody in, and a word of what the program says. */
  const UNREACHABLE: Readonly<Record<string, readonly [asked: Asked, said: RegExp]>> = {
    sshfs: [
      {
        parameters: { host: '127.0.0.1', port: '1', user: 'root', path: '/' },
        secrets: { privateKey: 'no key', knownHosts: 'none' },
      },
      /sshfs ended with exit status 1 before it had mounted: .*(connection|read)/i,
    ],
    s3fs: [{ parameters: { bucket: 'volumes', endpoint: 'http://127.0.0.1:1' }, secrets: S3_SECRETS }, /s3fs /],
    gocryptfs: [
      { parameters: { folder: '/nowhere' }, secrets: { password: 'x' } },
      /gocryptfs ended with exit status \d+ before it had mounted: .*\/nowhere/,
    ],
    squashfuse: [{ parameters: { image: '/nowhere' } }, /squashfuse ended with exit status \d+ before it had mounted: .*/],
  }
  for (const [name, [asked, said]] of Object.entries(UNREACHABLE))
    it(
      `${name} whose storage cannot be reached has the call fail with what it says, and leaves nothing`,
      { timeout: 60_000 },
      async () => {
        await using sandbox = new Sandbox()
        using plugin = await serveProgram(sandbox, join(EXAMPLES, `${name}.yaml`), { args: ['--call-deadline', '8'] })
        // The plugin's deadline ends the call. A busy client still reads the answer.
        const volume = new ProgramVolume(sandbox, plugin, { ...asked, deadline: 50_000 })
        const answer = await volume.stage()
        assert.ok(['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(answer.code), answer.code)
        assert.match(answer.details, said)
        assert.deepEqual([...keptOfPrograms(plugin), ...plugin.entries()], [])
        assert.deepEqual(sandbox.mounts(), [])
      },
    )
})

for (const host of ['child', 'service'])
  void test(`csi-sanity passes with --program for bindfs and --fuse-host ${host}, and leaves nothing`, async () => {
    assert.ok(existsSync(CSI_SANITY), `${CSI_SANITY} is missing; run scripts/test --setup-only`)
    await using sandbox = new Sandbox()
    const file = join(EXAMPLES, 'bindfs.yaml')
    const args = ['--role', 'identity,node,controller', '--fuse-host', host]
    using plugin = await serveProgram(sandbox, file, { args, callDeadline: 60 })
    const parameters = join(sandbox.path, 'parameters.yaml')
    writeFileSync(parameters, `source: ${folder(sandbox, 'source')}\n`)
    const folders = ['-csi.mountdir', join(sandbox.path, 'mount'), '-csi.stagingdir', join(sandbox.path, 'staging')]
    const flags = [
      '-csi.endpoint',
      `unix://${plugin.socket}`,
      '-ginkgo.no-color',
      '-csi.testvolumeparameters',
      parameters,
      ...folders,
    ]
    const { status, stdout } = await sandbox.run(CSI_SANITY, flags, { timeout: 240_000 })
    assert.match(stdout, / 48 Passed \| 0 Failed \| 1 Pending \| 54 Skipped/, stdout)
    assert.equal(status, 0)
    assert.deepEqual([...plugin.entries(), ...keptOfPrograms(plugin), ...sandbox.mounts()], [])
  })
