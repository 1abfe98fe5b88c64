import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Logger } from '../log.ts'
import { processStat } from '../os/processes/processes.ts'
import { oneLine } from '../printable.ts'
import type { Execution } from './daemon-process.ts'
import { PLAIN } from './daemon-starter.ts'
import type { DummyFuseRuns, MakeExecution } from './process-host.ts'
import type { ProgramExecution } from './program/program-host.ts'
import type { SharedDaemonPaths } from './shared-daemon-paths.ts'

/** How this executable is called as one of its other programs. */
export type ProgramCommand = (args: readonly string[]) => { executable: string; args: readonly string[]; argv0: string }

/**
 * `--fuse-host child`: in our process group and cgroup, killed by the kernel the moment we end, as in the container of the original project.
 * `extra` come before all others: the faults that the lab asks for.
 */
export function childRuns(dummyFuse: ProgramCommand, extra: readonly string[], env: NodeJS.ProcessEnv): DummyFuseRuns {
  return {
    args: (path, options) => ['-f', '--die-with-parent', ...extra, ...optionArgs(options), path],
    execution: (all) => {
      const { executable, args, argv0 } = dummyFuse(all)
      return { file: executable, args, argv0, detached: false, env }
    },
  }
}

/** `--daemonize early`: the command that returns before it has mounted. EarlyReturnHost trusts its exit status. */
export function earlyReturnExecution(dummyFuse: ProgramCommand, extra: readonly string[], env: NodeJS.ProcessEnv): MakeExecution {
  return (path, options) => {
    // Nobody waits for it: it may mount as late as the faults of the lab want.
    const early = ['--daemonize', 'early', '--init-timeout', '600']
    const { executable, args, argv0 } = dummyFuse([...early, ...extra, ...optionArgs(options), path])
    return { file: executable, args, argv0, detached: false, env }
  }
}

/**
 * `--fuse-host detached`: in a session of its own; where systemd manages the machine, in a transient scope too, because
 * a session is not a cgroup and systemd ends cgroups.
 */
export function detachedRuns(
  dummyFuse: ProgramCommand,
  extra: readonly string[],
  env: NodeJS.ProcessEnv,
  systemdRun: string | undefined,
): DummyFuseRuns {
  return {
    args: (path, options) => ['-f', ...extra, ...optionArgs(options), path],
    execution: (all): Execution => {
      const { executable, args, argv0 } = dummyFuse(all)
      const plain = { file: executable, args, argv0, detached: true, env }
      if (systemdRun === undefined) return plain
      return inScope(systemdRun, `dummy-fuse ${all.at(-1) ?? ''}`, [executable, 'fuse', ...all], plain)
    },
  }
}

/** `--daemons shared` with `--fuse-host child`: the one dummy-fused, killed by the kernel the moment we end. */
export function sharedChildExecution(fused: ProgramCommand, place: SharedDaemonPaths, env: NodeJS.ProcessEnv): Execution {
  const { executable, args, argv0 } = fused(['--die-with-parent', ...placeArgs(place)])
  return { file: executable, args, argv0, detached: false, env }
}

/** `--daemons shared` with `--fuse-host detached`: the one dummy-fused, in a session and, where systemd manages the machine, a scope of its own. */
export function sharedDetachedExecution(
  fused: ProgramCommand,
  place: SharedDaemonPaths,
  env: NodeJS.ProcessEnv,
  systemdRun: string | undefined,
): Execution {
  const own = placeArgs(place)
  const { executable, args, argv0 } = fused(own)
  const plain = { file: executable, args, argv0, detached: true, env }
  if (systemdRun === undefined) return plain
  return inScope(systemdRun, `dummy-fused of ${place.stateDir}`, [executable, 'fused', ...own], plain)
}

/** A program with `--fuse-host child`: setpriv(1) has the kernel kill it the moment we end. A daemon that it leaves in the background is not killed. */
export function programChildExecution(words: readonly string[]): ProgramExecution {
  return { file: 'setpriv', args: ['--pdeathsig', 'KILL', '--', ...words] }
}

/** A program with `--fuse-host detached`: in a session and, where systemd manages the machine, a scope of its own. */
export function programDetachedExecution(
  words: readonly string[],
  description: string,
  systemdRun: string | undefined,
): ProgramExecution {
  const [file = '', ...args] = words
  return systemdRun === undefined ? { file, args } : inScope(systemdRun, description, words, { file, args })
}

/** The program that systemd-run executes has its path as argv[0], so the first word chooses the program. */
function inScope<E extends ProgramExecution>(systemdRun: string, description: string, args: readonly string[], plain: E): E {
  const scope = ['--scope', '--quiet', '--collect', `--description=${oneLine(description)}`, '--', ...args]
  return { ...plain, file: systemdRun, args: scope, argv0: 'systemd-run', plain }
}

function placeArgs({ socket, stateDir }: SharedDaemonPaths): readonly string[] {
  return ['--socket', socket, '--state-dir', stateDir]
}

/**
 * The path of systemd-run, if systemd runs the machine (sd_booted(3)) and this process is in its pid namespace; else undefined. A missing part is
 * logged. In a container that sees the machine's /run, systemd would put another process into the scope.
 */
export function findSystemdRun(env: NodeJS.ProcessEnv, log: Logger): string | undefined {
  if (!exists('/run/systemd/system')) return undefined
  const first = processStat(1)?.comm ?? 'unknown'
  if (first !== 'systemd') {
    log.warning(`/run/systemd/system is there, but process 1 is ${first}, and not systemd: ${PLAIN}`)
    return undefined
  }
  const path = env.PATH ?? '/usr/bin:/bin'
  const found = path
    .split(delimiter)
    .map((folder) => join(folder, 'systemd-run'))
    .find(exists)
  if (found === undefined) log.warning(`systemd runs this machine, but systemd-run is not on PATH (${path}): ${PLAIN}`)
  return found
}

function optionArgs(options: readonly string[]): readonly string[] {
  return options.length === 0 ? [] : ['-o', options.join(',')]
}

function exists(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
