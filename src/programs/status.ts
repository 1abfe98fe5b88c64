import { join } from 'node:path'
import { RunningCall } from '../call-context.ts'
import { ProgramRecords } from '../hosts/program/records.ts'
import { ReadOnlyHost, combined } from '../hosts/read-only-host.ts'
import { sharedDaemonPaths } from '../hosts/shared-daemon-paths.ts'
import { type RecordedRegistration, readRegistration } from '../kubelet/registration-record.ts'
import { descriptorSink, Logger } from '../log.ts'
import { AddonLoader } from '../os/addons.ts'
import { Libc } from '../os/libc.ts'
import { MountNamespaces } from '../os/mounts/mount-namespaces.ts'
import { openMountTable, PinnedMountTable } from '../os/mounts/mount-table.ts'
import { PinnedPaths } from '../os/mounts/pinned-paths.ts'
import { bootId } from '../os/processes/boot-id.ts'
import { processesNamed } from '../os/processes/processes.ts'
import { Prober } from '../os/mounts/prober.ts'
import { RememberedTable } from '../os/mounts/remembered-table.ts'
import { DelayedFsync } from '../os/descriptors/delayed-fsync.ts'
import { socketPath } from '../os/sockets/unix-socket.ts'
import { Inspector, type VolumeReport } from '../volumes/health.ts'
import { MountCache } from '../volumes/mount-cache.ts'
import { MountStates } from '../volumes/mount-states.ts'
import { DUMMY_FUSE_MOUNTS, either, RecordedMounts } from '../volumes/own-mounts.ts'
import { Reachability } from '../volumes/reachability.ts'
import { StaleConsumers } from '../volumes/stale-consumers.ts'
import { absolute } from './absolute.ts'
import { oneLine } from '../printable.ts'
import { commandLine, parse } from './command-line.ts'
import { FUSED_SOCKET } from './fused/early-options.ts'
import { CALL_DEADLINE, pluginLimits } from './plugin/limits.ts'
import { print } from './print.ts'
import { programFolders } from './program-places.ts'
import { whySilent } from './shield-silence.ts'
import type { Program } from './program.ts'

interface Parsed {
  stateDir: string
  fusedSocket: string
  json?: true
}

/** dummy-fuse-csi status: what the mount cache says should be there, what is, and the next step to take. */
export const status: Program = async ({ args, env }) => {
  const command = commandLine('dummy-fuse-csi status', 'Shows each volume, its state, daemon, targets and the next step to take.')
    .option(
      '--state-dir <folder>',
      'state folder of the plugin; $STATE_DIRECTORY',
      env.STATE_DIRECTORY ?? '/var/lib/dummy-fuse-csi',
    )
    .option('--fused-socket <path>', 'socket of dummy-fused, which is asked for its sessions', FUSED_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExit status: 0 for every state of the volumes; 1 the state folder cannot be read; 2 usage error.')
  parse(command, args)
  const { stateDir, fusedSocket, json = false } = command.opts<Parsed>()
  const folder = absolute(stateDir)
  const reports = await look(folder, socketPath(fusedSocket))
  const registration = readRegistration(folder)
  await print(json ? `${JSON.stringify(asJson(folder, registration, reports), null, 2)}\n` : asText(folder, registration, reports))
  return 0
}

/** dummy-fused is asked first: it answers while the mount cache is read. */
async function look(stateDir: string, fusedSocket: string): Promise<readonly VolumeReport[]> {
  const log = new Logger(descriptorSink(2))
  const limits = pluginLimits({ callDeadline: CALL_DEADLINE.standard * 1000, startsAtOnce: 1 })
  const boot = bootId()
  const records = new ProgramRecords(programFolders(stateDir).records, boot, log)
  records.peek()
  const host = new ReadOnlyHost(
    async () => {
      const { ServiceHost } = await (await import('./fused-client.ts')).loadServiceHost()
      return combined(socketsToAsk(stateDir, fusedSocket).map((socket) => new ServiceHost(socket, [], limits, log)))
    },
    records,
    { silence: whySilent },
  )
  const answered = host.begin()
  const libc = new Libc(new AddonLoader())
  const cache = new MountCache(join(stateDir, 'mountcache'), new DelayedFsync(log), log)
  await cache.peek()
  await answered
  const table = openMountTable(libc)
  const prober = new Prober(limits)
  const pinned = new RememberedTable(new PinnedMountTable(table, new PinnedPaths(libc)))
  const own = either(DUMMY_FUSE_MOUNTS, new RecordedMounts('a program', records, cache, boot))
  const states = new MountStates({ table: pinned, host, prober, silentMount: limits.silentMount, own })
  const reachability = new Reachability(new RememberedTable(table), prober)
  const namespaces = new MountNamespaces(own.mayBeOfType, limits.call)
  const staleConsumers = new StaleConsumers({ namespaces, cache, states, prober, bootId: boot, time: limits.call })
  using call = new RunningCall(limits.call, { margin: limits.callMargin })
  return await new Inspector({ states, reachability, cache, host, staleConsumers, maxAge: limits.answerAge }).all(call)
}

/** The plugin's own dummy-fused (--daemons shared), and the node's, as far as one runs: a service manager would start one for the question. */
function socketsToAsk(stateDir: string, fusedSocket: string): readonly string[] {
  const { socket } = sharedDaemonPaths(stateDir)
  const own = processesNamed('dummy-fused').map(({ args }) => args.includes(socket))
  return [...(own.includes(true) ? [socket] : []), ...(own.includes(false) ? [fusedSocket] : [])]
}

function asJson(stateDir: string, registration: RecordedRegistration | undefined, reports: readonly VolumeReport[]): object {
  return {
    stateDir,
    registration: registration ?? null,
    volumes: reports.map(({ findings, ...report }) => ({ ...report, findings, next: next(findings) })),
  }
}

function asText(stateDir: string, registration: RecordedRegistration | undefined, reports: readonly VolumeReport[]): string {
  const volumes = reports.length === 0 ? `no volumes in ${oneLine(stateDir)}\n` : reports.map(block).join('\n')
  return registration === undefined ? volumes : `${registrationLine(registration)}\n\n${volumes}`
}

function registrationLine({ state, message, since }: RecordedRegistration): string {
  return `kubelet registration: ${state} since ${oneLine(since)}${message === undefined ? '' : `: ${oneLine(message)}`}`
}

function block({ volumeId, stagingPath, ephemeral, program, inMemory, state, daemon, targets, findings }: VolumeReport): string {
  const lines = [
    `volume ${oneLine(JSON.stringify(volumeId))}: ${findings.length === 0 ? 'healthy' : findings.map(({ reason }) => reason).join(', ')}`,
    `  ${ephemeral ? 'ephemeral' : 'staged   '} ${oneLine(stagingPath)}  ${state}${daemon === null ? '' : `  daemon ${daemon.pid}`}`,
    ...(program === undefined ? [] : [`  program   ${oneLine(program)}`]),
    ...(inMemory ? ['  contents  in the memory of the daemon; they are lost when it ends'] : []),
    ...targets.map((target) => `  published ${oneLine(target.path)}  ${target.state}${covered(target)}${consumer(target)}`),
    `  next      ${next(findings)}`,
  ]
  return `${lines.join('\n')}\n`
}

function covered({ covers }: VolumeReport['targets'][number]): string {
  return covers === undefined ? '' : `  on top of ${covers} earlier`
}

function consumer({ pod }: VolumeReport['targets'][number]): string {
  return pod === undefined ? '' : `  pod ${oneLine(pod.namespace)}/${oneLine(pod.name)}`
}

function next(findings: VolumeReport['findings']): string {
  return findings.length === 0 ? 'nothing to do' : findings.map(({ message }) => oneLine(message)).join('; ')
}
