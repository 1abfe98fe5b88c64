import { lstatSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { messageOf, ProgramError } from '../../errors.ts'
import { EarlyReturnHost } from '../../hosts/early-return-host.ts'
import { DaemonStarter, ScopeChoice } from '../../hosts/daemon-starter.ts'
import {
  earlyReturnExecution,
  childRuns,
  detachedRuns,
  findSystemdRun,
  programChildExecution,
  programDetachedExecution,
  sharedChildExecution,
  sharedDetachedExecution,
} from '../../hosts/executions.ts'
import type { FuseHost } from '../../hosts/host.ts'
import { ProcessHost } from '../../hosts/process-host.ts'
import { PrivateFolder } from '../../hosts/program/private-folder.ts'
import { ProgramHost } from '../../hosts/program/program-host.ts'
import { ProgramRecords } from '../../hosts/program/records.ts'
import { ServiceHost } from '../../hosts/service-host.ts'
import { SharedHost } from '../../hosts/shared-host.ts'
import { sharedDaemonPaths } from '../../hosts/shared-daemon-paths.ts'
import { Spares } from '../../hosts/spares.ts'
import { StartQueue } from '../../hosts/start-queue.ts'
import type { Logger } from '../../log.ts'
import { commandOf } from '../../program-file/command.ts'
import type { ProgramSpec } from '../../program-file/spec.ts'
import { bootId } from '../../os/processes/boot-id.ts'
import { SPARE_ARGS } from '../../os/processes/daemon-channel.ts'
import type { Libc } from '../../os/libc.ts'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { MountNamespaces } from '../../os/mounts/mount-namespaces.ts'
import { type MountTable, openMountTable, PinnedMountTable } from '../../os/mounts/mount-table.ts'
import { PinnedPaths } from '../../os/mounts/pinned-paths.ts'
import { Prober } from '../../os/mounts/prober.ts'
import { DelayedFsync } from '../../os/descriptors/delayed-fsync.ts'
import { AllowedPaths } from '../../volumes/allowed-paths.ts'
import { Binds } from '../../volumes/binds.ts'
import { EarlyReturnVolumes } from '../../volumes/early-return-volumes.ts'
import { EphemeralPlaces } from '../../volumes/ephemeral-places.ts'
import { Failures } from '../../volumes/failures.ts'
import { Inspector } from '../../volumes/health.ts'
import { VolumeLocks } from '../../volumes/locks.ts'
import { MountCache } from '../../volumes/mount-cache.ts'
import { MountPoints } from '../../volumes/mount-points.ts'
import { MountStates } from '../../volumes/mount-states.ts'
import { DUMMY_FUSE_MOUNTS, RecordedMounts } from '../../volumes/own-mounts.ts'
import { CheckedVolumes, type NodeVolumes } from '../../volumes/checked-volumes.ts'
import { PathResolver } from '../../volumes/path-resolver.ts'
import { Publisher } from '../../volumes/publisher.ts'
import { Reachability } from '../../volumes/reachability.ts'
import { StaleConsumers } from '../../volumes/stale-consumers.ts'
import { VolumeRegistry } from '../../volumes/registry.ts'
import { Restoration } from '../../volumes/restoration.ts'
import { Restorer } from '../../volumes/restore.ts'
import { Stager } from '../../volumes/stager.ts'
import type { ProgramContext } from '../program.ts'
import { programFolders, programPath } from '../program-places.ts'
import { DEFAULT_BACKEND } from '../session-options.ts'
import type { PluginLimits } from './limits.ts'
import type { PluginOptions } from './options.ts'
import { handSessionsOver } from './handover.ts'
import { ProgramShields, readOnlyByDefault } from './program-shields.ts'

/** The volumes of one state folder, put together. */
export interface VolumeSystem {
  readonly volumes: NodeVolumes
  readonly registry: VolumeRegistry
  readonly locks: VolumeLocks
  readonly restorer: Restorer
  readonly restoration: Restoration
  readonly cache: MountCache
  /** The program that serves the volumes; undefined for dummy-fuse. */
  readonly spec: ProgramSpec | undefined
  /** Has the holder keep the sessions that end with this container. Never rejects. */
  readonly handOver: () => Promise<void>
}

/** Reads the state folder and puts everything below the CSI services together. Throws if the folder cannot be made or read. */
export function openVolumes(
  options: PluginOptions,
  limits: PluginLimits,
  context: ProgramContext,
  libc: Libc,
  log: Logger,
  spec: ProgramSpec | undefined,
): VolumeSystem {
  const boot = bootId()
  const cache = new MountCache(join(options.stateDir, 'mountcache'), new DelayedFsync(log), log)
  cache.load()
  refuseOtherPrograms(cache, spec, options.stateDir)
  const registry = new VolumeRegistry(join(options.stateDir, 'volumes'), log)
  registry.load()
  const pinnedPaths = new PinnedPaths(libc)
  const following = openMountTable(libc)
  const prober = new Prober(limits)
  const table = new PinnedMountTable(following, pinnedPaths)
  const kernel = { table, prober, libc, bootId: boot }
  const programs = spec === undefined ? undefined : openPrograms(spec, options, limits, context, kernel, log)
  const host = programs?.host ?? openHost(options, limits, context, log)
  const own = programs === undefined ? DUMMY_FUSE_MOUNTS : new RecordedMounts(programs.name, programs.records, cache, boot)
  const states = new MountStates({ table, host, prober, silentMount: limits.silentMount, own })
  const points = new MountPoints(libc, pinnedPaths, states)
  const reachability = new Reachability(following, prober)
  const roots = options.allowedRoots.map(openRoot)
  const stateDir = realpathSync(options.stateDir)
  const places = new EphemeralPlaces(
    options.ephemeralDir === undefined ? join(stateDir, 'ephemeral') : openEphemeralDir(options.ephemeralDir),
  )
  const allowed = new AllowedPaths({
    stateDir,
    ephemeralDir: places.folder,
    ownFolders: [
      ...[options.socket, ...(options.fuseHost === 'service' && spec === undefined ? [options.fusedSocket] : [])].map(folderOf),
      ...(options.secretsDir === undefined ? [] : [options.secretsDir]),
      ...(options.holder === undefined ? [] : [folderOf(options.holder)]),
    ],
    roots,
    cache,
  })
  const binds = new Binds({ libc, pinnedPaths, states, points, limits })
  const mounting = { states, points, reachability, binds, cache, bootId: boot, log }
  const stager = new Stager({ ...mounting, host, grace: limits.grace, ...(spec === undefined ? {} : { program: spec.name }) })
  const publisher = new Publisher({ ...mounting, stager, restoreMode: options.restoreMode })
  const restoration = new Restoration()
  const namespaces = new MountNamespaces(own.mayBeOfType, limits.answerAge)
  const staleConsumers = new StaleConsumers({ namespaces, cache, states, prober, bootId: boot, time: limits.search })
  const inspector = new Inspector({ states, reachability, cache, host, staleConsumers, maxAge: limits.answerAge })
  const locks = new VolumeLocks()
  const checked = new CheckedVolumes({
    locks,
    cache,
    states,
    reachability,
    resolver: new PathResolver(following, reachability, roots),
    allowed,
    places,
    stager,
    publisher,
    inspector,
    failures: new Failures(),
    registry,
    host,
    restoration,
    healthTime: options.fuseHost === 'service' ? limits.health : Infinity,
  })
  const volumes =
    options.daemonize === 'early' ? new EarlyReturnVolumes({ checked, host, points, binds, cache, bootId: boot, log }) : checked
  const restorer = new Restorer({ reachability, allowed, cache, stager, publisher, restoration, bootId: boot, limits, log })
  return { volumes, registry, locks, restorer, restoration, cache, spec, handOver: programs?.handOver ?? (() => Promise.resolve()) }
}

/** Throws ProgramError where volumes are staged that another program serves: this plugin could neither judge nor mount them. */
function refuseOtherPrograms(cache: MountCache, spec: ProgramSpec | undefined, stateDir: string): void {
  const other = cache.staged().find(({ program }) => program !== spec?.name)
  if (other === undefined) return
  throw new ProgramError(
    `volume ${other.volumeId} in the state folder ${stateDir} is served by ${other.program ?? 'dummy-fuse'}, and this plugin serves by ${spec?.name ?? 'dummy-fuse'}; unstage it with the former plugin, or name another --state-dir`,
    1,
  )
}

/** The parts that ask and change the mount table. */
interface KernelParts {
  readonly table: MountTable
  readonly prober: Prober
  readonly libc: Libc
  readonly bootId: string
}

/** The host of a program, and its records. */
function openPrograms(
  spec: ProgramSpec,
  { fuseHost, stateDir, secretsDir, holder }: PluginOptions,
  limits: PluginLimits,
  { env, other }: ProgramContext,
  kernel: KernelParts,
  log: Logger,
): {
  readonly name: string
  readonly host: ProgramHost
  readonly records: ProgramRecords
  readonly handOver: () => Promise<void>
} {
  const folders = programFolders(realpathSync(stateDir))
  const records = new ProgramRecords(folders.records, kernel.bootId, log)
  records.load()
  const systemdRun = fuseHost === 'child' ? undefined : findSystemdRun(env, log)
  const shielded = fuseHost === 'service'
  const shields = new ProgramShields(kernel.libc, folders.targets, holder, log)
  shields.removeOthers(records.all().map(({ path }) => path))
  const loss = shielded ? readOnlyByDefault(spec) : undefined
  if (loss !== undefined) log.warning(`${loss}: with --fuse-host service its volumes are read-only`)
  if (fuseHost === 'child' && spec.start === 'background')
    log.warning(
      `${spec.name} runs in the background: its daemons outlive this plugin if it is killed, although --fuse-host is child`,
    )
  const { HOME, LANG, TMPDIR } = env
  const inherited = Object.entries({ HOME, LANG, TMPDIR }).filter((one): one is [string, string] => one[1] !== undefined)
  const host = new ProgramHost({
    ...kernel,
    spec,
    words: (values, resumes) =>
      shielded ? shields.words(spec, values, other('dummy-shield', []).executable, resumes) : commandOf(spec, values),
    shielded,
    held: holder !== undefined,
    shields,
    execution:
      fuseHost === 'child'
        ? programChildExecution
        : (words, description) => programDetachedExecution(words, description, systemdRun),
    environment: { PATH: programPath(env), ...Object.fromEntries(inherited) },
    scopes: new ScopeChoice(limits, log),
    queue: new StartQueue(limits),
    records,
    folder: new PrivateFolder(secretsDir ?? folders.secrets, kernel.table, kernel.libc, log),
    limits,
    log,
  })
  host.begin()
  const handOver = async (): Promise<void> => {
    if (holder !== undefined) await handSessionsOver({ libc: kernel.libc, socket: holder, limits, log }, records.shielded())
  }
  return { name: spec.name, host, records, handOver }
}

/** An allowed root without symbolic links. Throws ProgramError. */
function openRoot(path: string): string {
  try {
    const root = realpathSync(path)
    if (!lstatSync(root).isDirectory()) throw new Error('not a directory')
    return root
  } catch (error) {
    throw new ProgramError(`cannot use --allowed-root ${path}: ${messageOf(error)}; make it, or name another`, 1, { cause: error })
  }
}

/** The folder of --ephemeral-dir without symbolic links; it is made if it is missing. Throws ProgramError. */
function openEphemeralDir(path: string): string {
  try {
    makeDirectories(path, 0o750)
    return realpathSync(path)
  } catch (error) {
    throw new ProgramError(`cannot use --ephemeral-dir ${path}: ${messageOf(error)}; repair it, or name another`, 1, {
      cause: error,
    })
  }
}

/** A socket's folder, without symbolic links if it is there. */
function folderOf(socket: string): string {
  try {
    return realpathSync(dirname(socket))
  } catch {
    return dirname(socket)
  }
}

function openHost(
  { fuseHost, daemons, stateDir, fusedSocket, fuseBackend, daemonize, faults }: PluginOptions,
  limits: PluginLimits,
  context: ProgramContext,
  log: Logger,
): FuseHost {
  if (fuseHost === 'service') return new ServiceHost(fusedSocket, faults, limits, log)
  const starter = new DaemonStarter(limits, log)
  if (daemons === 'shared') {
    const place = sharedDaemonPaths(stateDir)
    const fused = (args: readonly string[]): ReturnType<ProgramContext['other']> => context.other('dummy-fused', args)
    const execution =
      fuseHost === 'child'
        ? sharedChildExecution(fused, place, context.env)
        : sharedDetachedExecution(fused, place, context.env, findSystemdRun(context.env, log))
    // The rest of a call's time is for the end of a dummy-fused that hangs, and for the next start.
    const service = new ServiceHost(place.socket, faults, { ...limits, actingQuestion: limits.question }, log)
    return new SharedHost(service, place.socket, execution, starter, limits, log)
  }
  const dummyFuse = (args: readonly string[]): ReturnType<ProgramContext['other']> => context.other('dummy-fuse', args)
  const backend = fuseBackend === DEFAULT_BACKEND ? [] : ['--backend', fuseBackend]
  const args = [...backend, ...faults.flatMap((fault) => ['--inject', fault])]
  if (daemonize === 'early') return new EarlyReturnHost(earlyReturnExecution(dummyFuse, args, context.env), log)
  const runs =
    fuseHost === 'child'
      ? childRuns(dummyFuse, args, context.env)
      : detachedRuns(dummyFuse, args, context.env, findSystemdRun(context.env, log))
  const queue = new StartQueue(limits)
  // libfuse is not loaded ahead, and serves one mount in each process.
  const spare = runs.execution(SPARE_ARGS)
  const spares = fuseBackend === DEFAULT_BACKEND ? new Spares(() => starter.choose(spare), queue, limits, log) : undefined
  return new ProcessHost(runs, starter, queue, spares, log)
}
