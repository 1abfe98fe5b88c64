import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ROOT } from './paths.ts'
import type { Asked } from './program.ts'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** What the file `f` of every storage holds. */
export const CONTENT = 'content of a file\n'
/** The access key of {@link s3}, which is no secret. */
export const KEY_ID = 'S3RVER'
const SECRET_KEY = 'S3RVER'

/** What rclone takes of the environment, such as AWS_CA_BUNDLE, is not for the tests. */
const CLEAN = { PATH: process.env.PATH ?? '', HOME: '/root' }

/** The storage of a program, and what its volume is asked for. */
export interface ProgramStorage extends Asked {
  /** The type of its mount in the mount table. */
  readonly fsType: string
  readonly writable: boolean
  /** The server that the data is on, which runs; none for what is on the machine itself. */
  readonly server?: StorageServer
}

/** A server of the loopback interface that can be started again. */
export interface StorageServer {
  readonly command: readonly string[]
  readonly port: number
  readonly running: Running
}

/** A port of this machine that is free. */
export async function freePort(): Promise<number> {
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

/** Starts a server that listens on a port. */
async function serving(sandbox: Sandbox, port: number, command: readonly string[]): Promise<StorageServer> {
  const [file = '', ...args] = command
  const running = sandbox.start(file, args)
  await listening(port)
  return { command, port, running }
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

/** A folder of a sandbox with the file `f`. */
export function folder(sandbox: Sandbox, name: string): string {
  const path = sandbox.directory(name)
  writeFileSync(join(path, 'f'), CONTENT)
  return path
}

/** An S3 server with the bucket `volumes`, which holds the file `f`. */
async function s3(sandbox: Sandbox): Promise<{ readonly endpoint: string; readonly server: StorageServer }> {
  const port = await freePort()
  const place = sandbox.directory('s3')
  const arguments_ = ['-d', place, '-a', '127.0.0.1', '-p', String(port), '--configure-bucket', 'volumes']
  const server = await serving(sandbox, port, [process.execPath, join(ROOT, 'node_modules/s3rver/bin/s3rver.js'), ...arguments_])
  const endpoint = `http://127.0.0.1:${port}`
  const config = join(sandbox.path, 'rclone.conf')
  writeFileSync(config, rcloneConfig(endpoint))
  writeFileSync(join(sandbox.path, 'f'), CONTENT)
  const copied = await sandbox.run('rclone', ['--config', config, 'copyto', join(sandbox.path, 'f'), 's3:volumes/f'], {
    env: CLEAN,
  })
  assert.equal(copied.status, 0, copied.stderr)
  return { endpoint, server }
}

export const S3_SECRETS = { accessKeyID: KEY_ID, secretAccessKey: SECRET_KEY }

/** The text of a configuration with which rclone calls the S3 server at an address `s3`. */
export function rcloneConfig(endpoint: string): string {
  const lines = { type: 's3', provider: 'Other', access_key_id: KEY_ID, secret_access_key: SECRET_KEY, endpoint }
  return ['[s3]', ...Object.entries(lines).map(([key, value]) => `${key} = ${value}`), ''].join('\n')
}

/** Each program of examples/programs with its storage on this machine: a server on the loopback interface, a folder or an image, with the file `f`. */
export const PROGRAMS: Readonly<Record<string, (sandbox: Sandbox) => Promise<ProgramStorage>>> = {
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
    const server = await serving(sandbox, port, ['/usr/sbin/sshd', '-D', '-e', '-f', config])
    const [type = '', text = ''] = readFileSync(`${hostKey}.pub`, 'utf8').split(' ')
    return {
      parameters: { host: '127.0.0.1', port: String(port), user: 'root', path: folder(sandbox, 'source') },
      secrets: { privateKey: readFileSync(key, 'utf8'), knownHosts: `[127.0.0.1]:${port} ${type} ${text}\n` },
      fsType: 'fuse.sshfs',
      writable: true,
      server,
    }
  },
  s3fs: async (sandbox) => {
    const { endpoint, server } = await s3(sandbox)
    const parameters = { bucket: 'volumes', endpoint }
    return { parameters, secrets: S3_SECRETS, fsType: 'fuse.s3fs', writable: true, server }
  },
  rclone: async (sandbox) => {
    const { endpoint, server } = await s3(sandbox)
    const parameters = { bucket: 'volumes', endpoint, cacheMode: 'writes' }
    return { parameters, secrets: S3_SECRETS, fsType: 'fuse.rclone', writable: true, server }
  },
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
