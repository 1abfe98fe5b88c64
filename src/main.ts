import { basename } from 'node:path'
import { isSea } from 'node:sea'
import { UsageError } from './errors.ts'
import { setProcessName } from './os/processes/process-name.ts'
import { undecodedWord } from './os/descriptors/undecoded.ts'
import { oneLine, printable } from './printable.ts'
import { exitOf } from './programs/exit-of.ts'
import type { Program, ProgramContext } from './programs/program.ts'
import { shieldedName } from './programs/shielded/name.ts'

const NAME = 'dummy-fuse-csi'

/** Helpers of mount(8): for the types fuse.dummy-fuse and dummy-fuse. */
const MOUNT_HELPER = /^mount\.(fuse3?\.)?dummy-fuse$/

interface ProgramEntry {
  /** As `ps -o comm` shows it, and the argv[0] that chooses it. */
  readonly name: string
  readonly description: string
  /** Not for people, and so not in the overview. */
  readonly hidden?: true
  /** Loaded only when it is the one: dummy-fuse and the workload are not to wait for gRPC. */
  readonly load: () => Promise<Program>
}

/** By the first argument of dummy-fuse-csi. */
const PROGRAMS: Readonly<Record<string, ProgramEntry>> = {
  serve: {
    name: NAME,
    description: 'the CSI plugin',
    load: async () => await (await import('./programs/with-grpc.ts')).loadPlugin(),
  },
  fuse: {
    name: 'dummy-fuse',
    description: 'serves one mount; the same as the name dummy-fuse',
    load: async () => await (await import('./programs/without-grpc.ts')).loadDummyFuse(),
  },
  'mount-helper': {
    name: 'dummy-fuse',
    description: 'the helper of mount(8) for the type fuse.dummy-fuse; the same as the name mount.fuse.dummy-fuse',
    hidden: true,
    load: async () => await (await import('./programs/without-grpc.ts')).loadMountHelper(),
  },
  fused: {
    name: 'dummy-fused',
    description: 'serves sessions that outlive it; the same as the name dummy-fused',
    load: async () => await (await import('./programs/fused.ts')).loadFused(),
  },
  keep: {
    name: 'dummy-fuse-keep',
    description: 'runs a program, starts it again when it ends, and keeps its descriptors',
    load: async () => await (await import('./programs/without-grpc.ts')).loadKeep(),
  },
  shield: {
    name: 'dummy-shield',
    description: 'mounts any FUSE file system, and starts its daemon again when it ends: its users do not notice',
    load: async () => await (await import('./programs/without-grpc.ts')).loadShield(),
  },
  shielded: {
    name: 'dummy-shield',
    description: 'what runs in the place of a FUSE program; the same as the name dummy-fuse-csi-shielded-NAME',
    hidden: true,
    load: async () => await (await import('./programs/without-grpc.ts')).loadShielded(),
  },
  standby: {
    name: 'dummy-standby',
    description: 'serves the sessions of a dummy-fused from its end until its successor serves',
    load: async () => await (await import('./programs/without-grpc.ts')).loadStandby(),
  },
  holder: {
    name: 'dummy-holder',
    description: 'keeps the sessions of shields while their container is replaced',
    load: async () => await (await import('./programs/without-grpc.ts')).loadHolder(),
  },
  restarter: {
    name: 'dummy-restarter',
    description: 'evicts pods of a Kubernetes cluster whose volumes stay inaccessible',
    load: async () => await (await import('./programs/restarter.ts')).loadRestarter(),
  },
  workload: {
    name: 'dummy-fuse-workload',
    description: 'reads a file again and again; the same as the name dummy-fuse-workload',
    load: async () => await (await import('./programs/without-grpc.ts')).loadWorkload(),
  },
  lab: {
    name: NAME,
    description: 'runs failures under mitigations, and compares what consumers see with a model',
    load: async () => await (await import('./programs/with-grpc.ts')).loadLab(),
  },
  'lab-consumer': {
    name: 'lab-consumer',
    description: 'what the lab starts as a consumer of a volume',
    hidden: true,
    load: async () => await (await import('./programs/without-grpc.ts')).loadLabConsumer(),
  },
  'lab-agent': {
    name: 'lab-agent',
    description: 'what acts on a node of a cluster for the lab',
    hidden: true,
    load: async () => await (await import('./programs/without-grpc.ts')).loadLabAgent(),
  },
  licenses: {
    name: NAME,
    description: 'prints the licence of each component of this executable',
    load: async () => await (await import('./programs/without-grpc.ts')).loadLicenses(),
  },
  status: {
    name: NAME,
    description: "shows each volume's state and the next step to take",
    load: async () => (await import('./programs/status.ts')).status,
  },
}

/**
 * Chooses a program by argv[0], and by the first word under the executable's own name. Where another program was executed in whose place this one stands, argv[0] is that program's.
 * Throws UsageError for names there are not.
 */
async function choose(argv0: string, args: readonly string[]): Promise<{ entry: ProgramEntry; args: readonly string[] }> {
  if (MOUNT_HELPER.test(argv0) && PROGRAMS['mount-helper'] !== undefined) return { entry: PROGRAMS['mount-helper'], args }
  const byName = Object.values(PROGRAMS).find(({ name }) => name !== NAME && name === argv0)
  if (byName !== undefined) return { entry: byName, args }
  if (argv0 !== NAME) {
    const shielded = shieldedName()
    if (shielded !== undefined && PROGRAMS.shielded !== undefined) return { entry: PROGRAMS.shielded, args: [shielded, ...args] }
    const names = [NAME, ...new Set(shown().map(([, { name }]) => name))]
    throw new UsageError(`no program of that name; there are ${[...new Set(names)].join(', ')}`)
  }
  const [word = '', ...rest] = args
  const entry = Object.hasOwn(PROGRAMS, word) ? PROGRAMS[word] : undefined
  if (entry !== undefined) return { entry, args: rest }
  if (word.startsWith('-')) {
    const descriptions = Object.fromEntries(shown().map(([name, { description }]) => [name, description]))
    const { overview } = await import('./programs/without-grpc.ts')
    overview(NAME, descriptions, args)
  }
  const given = word === '' ? 'no program given' : `no program '${word}'`
  throw new UsageError(
    `${given}; there are ${shown()
      .map(([word]) => word)
      .join(', ')} (see ${NAME} --help)`,
  )
}

function shown(): readonly (readonly [string, ProgramEntry])[] {
  return Object.entries(PROGRAMS).filter(([, { hidden }]) => hidden === undefined)
}

function context(entry: ProgramEntry, args: readonly string[]): ProgramContext {
  const prefix = isSea() ? [] : [process.argv[1] ?? '']
  const other: ProgramContext['other'] = (argv0, args) => ({ executable: process.execPath, args: [...prefix, ...args], argv0 })
  return { args, env: process.env, self: (args) => other(entry.name, args), other }
}

async function main(): Promise<number> {
  let name = basename(process.argv0)
  try {
    const undecoded = undecodedWord()
    if (undecoded !== undefined)
      throw new UsageError(`${undecoded} is not UTF-8; rename what it names, or name it by a symbolic link`)
    const { entry, args } = await choose(name, process.argv.slice(2))
    name = entry.name
    setProcessName(name)
    const program = await entry.load()
    return await program(context(entry, args))
  } catch (error) {
    const exit = exitOf(error)
    if (exit === undefined) throw error
    if (exit.message !== '') process.stderr.write(`${name}: ${oneLine(exit.message)}\n`)
    return exit.status
  }
}

void main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    process.stderr.write(`${printable(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`)
    process.exit(1)
  },
)
