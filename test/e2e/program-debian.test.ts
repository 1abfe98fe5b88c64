import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { mountAt } from '../support/mounts.ts'
import { ROOT } from '../support/paths.ts'
import { type Asked, EXAMPLES, keptOfPrograms, ProgramVolume, serveProgram, showsToUsers } from '../support/program.ts'
import { Sandbox } from '../support/sandbox.ts'
import { CSI_SANITY } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'

const OK = { code: 'OK', details: '' }
const CONTENT = 'content of a file\n'
const KEY_ID = 'S3RVER'
const SECRET_KEY = 'S3RVER'

/** What rclone takes of the environment, such as AWS_CA_BUNDLE, is not for the tests. */
const CLEAN = { PATH: process.env.PATH ?? '', HOME: '/root' }

/** The storage of a program, and what its volume is asked for. */
interface Storage extends Asked {
  /** The type of its mount in the mount table. */
  readonly fsType: string
  readonly writable: boolean
}

/** A port of this machine that is free. */
async function freePort(): Promise<number> {
  const server = createServer()
  const { promise, resolve } = Promise.withResolvers<number>()
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    server.close(() => {
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  return await promise
}

async function listening(port: number): Promise<void> {
  await eventually(
    `port ${port} is served`,
    async () => {
      try {
        await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1000) })
        return true
      } catch (error) {
        // A server that does not speak HTTP listens too.
        const code = (error as { cause?: { code?: string } }).cause?.code
        return code !== 'ECONNREFUSED'
      }
    },
    30_000,
  )
}

function folder(sandbox: Sandbox, name: string): string {
  const path = sandbox.directory(name)
  writeFileSync(join(path, 'f'), CONTENT)
  return path
}

/** An S3 server with the bucket `volumes`, which holds the file `f`. */
async function s3(sandbox: Sandbox): Promise<string> {
  const port = await freePort()
  const place = sandbox.directory('s3')
  const arguments_ = ['-d', place, '-a', '127.0.0.1', '-p', String(port), '--configure-bucket', 'volumes']
  sandbox.start(process.execPath, [join(ROOT, 'node_modules/s3rver/bin/s3rver.js'), ...arguments_])
  await listening(port)
  const endpoint = `http://127.0.0.1:${port}`
  const config = join(sandbox.path, 'rclone.conf')
  writeFileSync(
    config,
    `[s3]\ntype = s3\nprovider = Other\naccess_key_id = ${KEY_ID}\nsecret_access_key = ${SECRET_KEY}\nendpoint = ${endpoint}\n`,
  )
  writeFileSync(join(sandbox.path, 'f'), CONTENT)
  const copied = await sandbox.run('rclone', ['--config', config, 'copyto', join(sandbox.path, 'f'), 's3:volumes/f'], {
    env: CLEAN,
  })
  assert.equal(copied.status, 0, copied.stderr)
  return endpoint
}

const S3_SECRETS = { accessKeyID: KEY_ID, secretAccessKey: SECRET_KEY }

/** Each program of examples/programs with its storage on this machine. */
const PROGRAMS: Readonly<Record<string, (sandbox: Sandbox) => Promise<Storage>>> = {
  bindfs: (sandbox) => Promise.resolve({ parameters: { source: folder(sandbox, 'source') }, fsType: 'fuse', writable: true }),
  sshfs: async (sandbox) => {
    const port = await freePort()
    const place = sandbox.directory('ssh')
    const [key, hostKey] = [join(place, 'key'), join(place, 'host')]
    for (const path of [key, hostKey]) await sandbox.run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path])
    const authorized = join(place, 'authorized')
    writeFileSync(authorized, readFileSync(`${key}.pub`), { mode: 0o600 })
    const config = join(place, 'sshd_config')
    const lines = {
      Port: port,
      ListenAddress: '127.0.0.1',
      HostKey: hostKey,
      AuthorizedKeysFile: authorized,
      PidFile: join(place, 'pid'),
      StrictModes: 'no',
      UsePAM: 'no',
      PermitRootLogin: 'prohibit-password',
      Subsystem: 'sftp internal-sftp',
    }
    writeFileSync(
      config,
      Object.entries(lines)
        .map((line) => `${line.join(' ')}\n`)
        .join(''),
    )
    mkdirSync('/run/sshd', { recursive: true })
    sandbox.start('/usr/sbin/sshd', ['-D', '-e', '-f', config])
    await listening(port)
    const [type = '', text = ''] = readFileSync(`${hostKey}.pub`, 'utf8').split(' ')
    return {
      parameters: { host: '127.0.0.1', port: String(port), user: 'root', path: folder(sandbox, 'source') },
      secrets: { privateKey: readFileSync(key, 'utf8'), knownHosts: `[127.0.0.1]:${port} ${type} ${text}\n` },
      fsType: 'fuse.sshfs',
      writable: true,
    }
  },
  s3fs: async (sandbox) => ({
    parameters: { bucket: 'volumes', endpoint: await s3(sandbox) },
    secrets: S3_SECRETS,
    fsType: 'fuse.s3fs',
    writable: true,
  }),
  rclone: async (sandbox) => ({
    parameters: { bucket: 'volumes', endpoint: await s3(sandbox), cacheMode: 'writes' },
    secrets: S3_SECRETS,
    fsType: 'fuse.rclone',
    writable: true,
  }),
  gocryptfs: async (sandbox) => {
    const cipher = sandbox.directory('cipher')
    const plain = sandbox.directory('plain')
    const password = join(sandbox.path, 'password')
    writeFileSync(password, 'a good password\n')
    const made = await sandbox.run('gocryptfs', ['-init', '-q', '-scryptn', '10', '-passfile', password, cipher])
    assert.equal(made.status, 0, made.stderr)
    assert.equal((await sandbox.run('gocryptfs', ['-q', '-passfile', password, cipher, plain])).status, 0)
    writeFileSync(join(plain, 'f'), CONTENT)
    assert.equal((await sandbox.run('umount', [plain])).status, 0)
    return { parameters: { folder: cipher }, secrets: { password: 'a good password' }, fsType: 'fuse.gocryptfs', writable: true }
  },
  squashfuse: async (sandbox) => {
    const image = join(sandbox.path, 'image.squashfs')
    const made = await sandbox.run('mksquashfs', [folder(sandbox, 'source'), image, '-quiet', '-no-progress'])
    assert.equal(made.status, 0, made.stderr)
    return { parameters: { image }, fsType: 'fuse.squashfuse', writable: false }
  },
  'fuse-overlayfs': (sandbox) => {
    const lower = folder(sandbox, 'lower')
    const parameters = { lower, upper: sandbox.directory('upper'), work: sandbox.directory('work') }
    return Promise.resolve({ parameters, fsType: 'fuse.fuse-overlayfs', writable: true })
  },
}

describe('the programs of examples/programs', () => {
  it('are all tested here', () => {
    const files = readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml'))
    assert.deepEqual(
      files.map((name) => name.replace('.yaml', '')),
      Object.keys(PROGRAMS).sort(),
    )
  })

  for (const [name, prepare] of Object.entries(PROGRAMS)) {
    it(
      `${name} serves a volume, is mounted again when it dies and when the plugin starts anew, and leaves nothing`,
      { timeout: 280_000 },
      async () => {
        await using sandbox = new Sandbox()
        const { fsType, writable, ...asked } = await prepare(sandbox)
        using plugin = await serveProgram(sandbox, join(EXAMPLES, `${name}.yaml`), { args: ['--call-deadline', '60'] })
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
        using plugin = await serveProgram(sandbox, join(EXAMPLES, `${name}.yaml`))
        const volume = new ProgramVolume(sandbox, plugin, { ...asked, deadline: 8000 })
        const answer = await volume.stage()
        assert.ok(['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(answer.code), answer.code)
        assert.match(answer.details, said)
        assert.deepEqual([...keptOfPrograms(plugin), ...plugin.entries()], [])
        assert.deepEqual(sandbox.mounts(), [])
      },
    )
})

void test('csi-sanity passes with --program for bindfs, and leaves nothing', async () => {
  assert.ok(existsSync(CSI_SANITY), `${CSI_SANITY} is missing; run scripts/test --setup-only`)
  await using sandbox = new Sandbox()
  const file = join(EXAMPLES, 'bindfs.yaml')
  using plugin = await serveProgram(sandbox, file, { args: ['--role', 'identity,node,controller'] })
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
  const { status, stdout } = await sandbox.run(CSI_SANITY, flags, { timeout: 120_000 })
  assert.match(stdout, / 48 Passed \| 0 Failed \| 1 Pending \| 54 Skipped/, stdout)
  assert.equal(status, 0)
  assert.deepEqual([...plugin.entries(), ...keptOfPrograms(plugin), ...sandbox.mounts()], [])
})
