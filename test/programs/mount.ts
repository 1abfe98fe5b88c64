import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Verdict } from '../../src/lab/mount-command/cases.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { rcloneConfig } from '../support/program-storage.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { type LabProgram, pathWith, storageOf } from './program.ts'

/** What a command line is made of. */
interface Means {
  readonly parameters: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, string>>
  /** Writes a private file with a text; returns its path. */
  readonly file: (text: string) => string
}

/** How a program mounts in the background. */
interface MountLine {
  readonly words: (means: Means) => readonly string[]
  /** Parameters with which it does not reach its storage. */
  readonly unreachable: Readonly<Record<string, string>>
  /** Words that are no option of it. */
  readonly forbidden: readonly string[]
}

const [NOWHERE, NO_SERVER] = ['/nowhere/at/all', 'http://127.0.0.1:1']
const UNKNOWN = ['-o', 'no_such_option']

/** By the executable. Parameters and secrets are those of the files in examples/programs. */
const LINES: Readonly<Record<string, MountLine>> = {
  bindfs: {
    words: ({ parameters: { source = '' } }) => ['bindfs', source, '{target}'],
    unreachable: { source: NOWHERE },
    forbidden: UNKNOWN,
  },
  sshfs: {
    words: ({ parameters: { user, host, path, port }, secrets: { privateKey = '', knownHosts = '' }, file }) => {
      const login = [`port=${port}`, `IdentityFile=${file(privateKey)}`, `UserKnownHostsFile=${file(knownHosts)}`]
      const options = [...login, 'BatchMode=yes', 'StrictHostKeyChecking=yes', 'reconnect', 'ConnectTimeout=8']
      return ['sshfs', `${user}@${host}:${path}`, '{target}', '-o', options.join(',')]
    },
    unreachable: { port: '1' },
    forbidden: UNKNOWN,
  },
  s3fs: {
    words: ({ parameters: { bucket = '', endpoint }, secrets: { accessKeyID, secretAccessKey }, file }) => {
      const options = [`passwd_file=${file(`${accessKeyID}:${secretAccessKey}`)}`, `url=${endpoint}`, 'use_path_request_style']
      return ['s3fs', bucket, '{target}', '-o', options.join(',')]
    },
    unreachable: { endpoint: NO_SERVER },
    forbidden: UNKNOWN,
  },
  rclone: {
    words: ({ parameters: { bucket, endpoint = '' }, file }) => {
      return ['rclone', 'mount', `s3:${bucket}`, '{target}', '--config', file(rcloneConfig(endpoint)), '--daemon']
    },
    unreachable: { endpoint: NO_SERVER },
    forbidden: ['--no-such-option'],
  },
  gocryptfs: {
    words: ({ parameters: { folder = '' }, secrets: { password = '' }, file }) => {
      return ['gocryptfs', '-q', '-passfile', file(password), folder, '{target}']
    },
    unreachable: { folder: NOWHERE },
    forbidden: ['-no-such-option'],
  },
  squashfuse: {
    words: ({ parameters: { image = '' } }) => ['squashfuse', image, '{target}'],
    unreachable: { image: NOWHERE },
    forbidden: UNKNOWN,
  },
  'ceph-fuse': {
    words: ({ parameters: { monitors = '' }, secrets: { key = '' }, file }) => {
      return ['ceph-fuse', '--conf', '/dev/null', '-m', monitors, '--id', 'admin', '--keyfile', file(key), '{target}']
    },
    unreachable: { monitors: 'v1:127.0.0.1:1' },
    forbidden: UNKNOWN,
  },
  'fuse-overlayfs': {
    words: ({ parameters: { lower, upper, work } }) => {
      return ['fuse-overlayfs', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, '{target}']
    },
    unreachable: { lower: NOWHERE },
    forbidden: UNKNOWN,
  },
}

/** How `lab mount` is run with each program. */
export interface MountChoice {
  /** `--wait`, in seconds. */
  readonly wait: number
  /** The cases that are chosen; all if there are none. */
  readonly only: readonly string[]
}

/** Milliseconds for all cases of one program, each of which waits as long as it may. */
const LIMIT = 1_200_000

/** Makes the storage of a program in the sandbox, and runs `lab mount --json` with it. Resolves to what that prints; rejects with an Error if it prints no verdicts. */
export async function mountOf(sandbox: Sandbox, program: LabProgram, { wait, only }: MountChoice): Promise<string> {
  const line = LINES[program.file]
  if (line === undefined) throw new Error(`it is not known how ${program.file} mounts in the background`)
  const { parameters = {}, secrets = {} } = await storageOf(sandbox, program)
  let files = 0
  const file = (text: string): string => {
    const path = join(sandbox.path, `private-${++files}`)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const words = line.words({ parameters, secrets, file })
  const unreachable = line.words({ parameters: { ...parameters, ...line.unreachable }, secrets, file })
  const others = ['--unreachable', shellLine(unreachable), '--forbidden', shellLine([...words, ...line.forbidden])]
  const chosen = only.flatMap((name) => ['--only', name])
  const args = ['lab', 'mount', '--json', '--wait', String(wait), ...chosen, ...others, '--', ...words]
  // Nothing else of the environment reaches the program. rclone keeps its cache in HOME.
  const env = { PATH: pathWith(sandbox, program), HOME: sandbox.path }
  const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, args, { env, timeout: LIMIT })
  // 1: findings. 4: cases that could not run.
  if (status !== 0 && status !== 1 && status !== 4)
    throw new Error(`lab mount ended with exit status ${String(status)}: ${stderr.trim()}`)
  return stdout
}

/** The verdicts of what {@link mountOf} resolves to. */
export function verdictsIn(json: string): readonly Verdict[] {
  return (JSON.parse(json) as { verdicts: readonly Verdict[] }).verdicts
}

function shellLine(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ')
}
