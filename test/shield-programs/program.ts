import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { cephfs } from '../programs/cephfs.ts'
import { ROOT } from '../support/paths.ts'
import { PROGRAMS, type ProgramStorage } from '../support/program-storage.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { DAEMONS } from '../support/shield-daemons.ts'
import { FUSER_SIMPLE, GO_FUSE_LOOPBACK, RCLONE } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'

/** How many names the directory has that is listed through kills. */
const NAMES = 20_000

/** Milliseconds for a program to mount, and for a folder to be copied into its storage. */
const [MOUNTS, COPIES] = [120_000, 900_000]

/** A FUSE program whose storage is made. */
export interface PreparedProgram {
  /** Its command in the foreground, with {target}. */
  readonly command: readonly string[]
  /** The folder that what is written ends up in, by the same names; undefined if there is none. */
  readonly below?: string
}

/** A FUSE program that is put behind the shield. */
export interface ShieldProgram {
  readonly name: string
  /** Which library it is made with. */
  readonly library: string
  /** Why nothing is written by it; undefined: it is written by. */
  readonly readOnly?: string
  /** It gives a file the same inode number each time, and is run with --stable-inodes. */
  readonly stableInodes?: true
  /** It cannot run twice at a time. */
  readonly stopFirst?: true
  /** How many names its largest directory has, if these are not 20,000, and why. */
  readonly names?: readonly [count: number, why: string]
  /** It ends when the file `poison` is read. */
  readonly isPoisoned?: true
  /** Why it is left out if it is not named. */
  readonly leftOut?: string
  /** The executable that scripts/shield-programs builds. */
  readonly executable?: string
  /** Makes its storage in the sandbox, with what a folder holds. Rejects with an Error that says what failed. */
  readonly prepare: (sandbox: Sandbox, folder: string) => Promise<PreparedProgram>
}

/** How many names the largest directory of a program has. */
export function namesOf({ names: [count] = [NAMES, ''] }: ShieldProgram): number {
  return count
}

const [BUFFERS, STEPS] = ['it answers a write before it is stored', 'a change is several steps, of which a kill may leave some']
const SLOW_SERVER = [300, 'the S3 server of the tests takes long to list'] as const

/** All programs, as they are named on the command line. */
export const SHIELD_PROGRAMS: readonly ShieldProgram[] = [
  {
    name: 'bindfs',
    library: 'libfuse 2, high level',
    stableInodes: true,
    prepare: async (sandbox, folder) => ({ ...(await daemon('bindfs', sandbox, folder)), below: folder }),
  },
  {
    name: 'fuse-overlayfs',
    library: 'libfuse 3, low level, cached writes',
    stopFirst: true,
    prepare: async (sandbox, folder) => ({
      ...(await daemon('fuse-overlayfs', sandbox, folder)),
      below: join(sandbox.path, 'upper'),
    }),
  },
  {
    name: 'mergerfs',
    library: 'its own libfuse 2, high level',
    prepare: (sandbox, folder) => {
      return Promise.resolve({
        command: ['mergerfs', '-f', '-o', 'category.create=ff', `${folder}:${sandbox.directory('second')}`, '{target}'],
        below: folder,
      })
    },
  },
  {
    name: 'unionfs-fuse',
    library: 'libfuse 2, high level',
    prepare: (sandbox, folder) => {
      const branches = `${folder}=RW:${sandbox.directory('second')}=RO`
      return Promise.resolve({ command: ['unionfs', '-f', '-o', 'cow', branches, '{target}'], below: folder })
    },
  },
  {
    name: 'go-fuse',
    library: 'go-fuse 2.12.1, its example loopback',
    stableInodes: true,
    executable: GO_FUSE_LOOPBACK,
    prepare: (_, folder) => Promise.resolve({ command: [GO_FUSE_LOOPBACK, '{target}', folder], below: folder }),
  },
  {
    name: 'fusepy',
    library: 'fusepy 3.0.1 on libfuse 2, high level; the loopback of test/peers',
    isPoisoned: true,
    prepare: (_, folder) => {
      const script = join(ROOT, 'test/peers/fusepy-loopback.py')
      // Debian's own, which finds Debian's modules.
      return Promise.resolve({ command: ['/usr/bin/python3', script, folder, '{target}'], below: folder })
    },
  },
  {
    name: 'squashfuse',
    library: 'libfuse 3, low level',
    readOnly: 'it has nothing to write',
    prepare: async (sandbox, folder) => await daemon('squashfuse', sandbox, folder),
  },
  {
    name: 'gocryptfs',
    library: 'go-fuse',
    readOnly: STEPS,
    stableInodes: true,
    prepare: async (sandbox, folder) => await daemon('gocryptfs', sandbox, folder),
  },
  {
    name: 'fuser',
    library: "fuser, its example 'simple'",
    readOnly: STEPS,
    stopFirst: true,
    names: [500, 'it writes a whole directory for each name'],
    executable: FUSER_SIMPLE,
    prepare: async (sandbox, folder) => {
      const command = [FUSER_SIMPLE, '--data-dir', sandbox.directory('data'), '--mount-point', '{target}']
      await fillThrough(sandbox, command, folder)
      return { command }
    },
  },
  {
    name: 'sshfs',
    library: 'libfuse 3, high level',
    readOnly: BUFFERS,
    prepare: async (sandbox, folder) => await daemon('sshfs', sandbox, folder),
  },
  {
    name: 's3fs',
    library: 'libfuse 2, high level',
    readOnly: BUFFERS,
    names: SLOW_SERVER,
    prepare: async (sandbox, folder) => {
      const { parameters, secrets } = await storageOf('s3fs', sandbox)
      const passwords = privateFile(sandbox, 'passwd', `${secrets?.accessKeyID}:${secrets?.secretAccessKey}`)
      const options = `passwd_file=${passwords},url=${parameters?.endpoint},use_path_request_style`
      const command = ['s3fs', parameters?.bucket ?? '', '{target}', '-f', '-o', options]
      await fillThrough(sandbox, command, folder)
      return { command }
    },
  },
  ...['rclone', RCLONE].map((file) => ({
    name: basename(file),
    library: 'bazil.org/fuse',
    readOnly: BUFFERS,
    names: SLOW_SERVER,
    ...(file === RCLONE && { executable: RCLONE }),
    prepare: async (sandbox: Sandbox, folder: string) => await rclone(file, sandbox, folder),
  })),
  {
    name: 'ceph-fuse',
    library: 'libfuse, low level',
    readOnly: BUFFERS,
    names: [2000, 'a cluster in memory on one machine takes long to make them'],
    leftOut: 'its cluster needs 230 MB of Debian packages',
    prepare: async (sandbox, folder) => {
      const { parameters, secrets } = await cephfs(sandbox)
      const login = [
        '-m',
        parameters?.monitors ?? '',
        '--id',
        'admin',
        '--keyfile',
        privateFile(sandbox, 'key', secrets?.key ?? ''),
      ]
      // It has the kernel forget names by mount -o remount, which finds no mount at the hidden target.
      const command = [
        'ceph-fuse',
        '-f',
        '--conf',
        '/dev/null',
        ...login,
        '--client_die_on_failed_dentry_invalidate=false',
        '{target}',
      ]
      await fillThrough(sandbox, command, folder)
      return { command }
    },
  },
]

async function daemon(name: string, sandbox: Sandbox, folder: string): Promise<PreparedProgram> {
  const prepare = DAEMONS[name]
  if (prepare === undefined) throw new Error(`there is no daemon ${name}`)
  return { command: await prepare(sandbox, folder) }
}

async function storageOf(name: string, sandbox: Sandbox): Promise<ProgramStorage> {
  const make = PROGRAMS[name]
  if (make === undefined) throw new Error(`there is no storage for ${name}`)
  return await make(sandbox)
}

async function rclone(file: string, sandbox: Sandbox, folder: string): Promise<PreparedProgram> {
  const { parameters } = await storageOf('rclone', sandbox)
  const words = ['--config', join(sandbox.path, 'rclone.conf')]
  const bucket = `s3:${parameters?.bucket}`
  const copied = await sandbox.run('rclone', [...words, 'copy', folder, bucket], { timeout: COPIES })
  assert.equal(copied.status, 0, copied.stderr)
  return { command: [file, 'mount', ...words, bucket, '{target}'] }
}

/** Copies a folder into the file system that a command serves. */
async function fillThrough(sandbox: Sandbox, command: readonly string[], folder: string): Promise<void> {
  const target = sandbox.directory('plain')
  const [file = '', ...args] = command.map((word) => word.replace('{target}', target))
  const running = sandbox.start(file, args)
  const isMounted = (): boolean => sandbox.mounts().includes(target)
  await eventually(`${file} has mounted`, () => isMounted() || running.child.exitCode !== null, MOUNTS)
  assert.ok(isMounted(), running.output())
  const copied = await sandbox.run('cp', ['-r', `${folder}/.`, target], { timeout: COPIES })
  assert.equal(copied.status, 0, copied.stderr)
  const unmounted = await sandbox.run('umount', [target], { timeout: MOUNTS })
  assert.equal(unmounted.status, 0, unmounted.stderr)
  await eventually(`${file} has ended`, () => running.child.exitCode !== null || running.child.signalCode !== null, MOUNTS)
}

/** A file that root alone can read. */
function privateFile(sandbox: Sandbox, name: string, text: string): string {
  const path = join(sandbox.path, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}
