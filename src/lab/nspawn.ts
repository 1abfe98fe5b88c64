import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { childrenOf } from '../os/processes/child-processes.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { processStat } from '../os/processes/processes.ts'
import { SHELL, WITHOUT_VOLUMES } from './namespaces.ts'
import type { Network } from './driver/spec.ts'
import { CGROUPS } from './node-paths.ts'
import { LAY_ROOT, PLACE } from './own-root.ts'

/** What a file of systemd's is a link to that is to be as if there were none. */
const NOTHING = '/dev/null'

/** Units of a whole machine that nobody needs here, and that cost time at each boot. */
const MASKED = [
  ...['systemd-logind.service', 'systemd-user-sessions.service', 'getty.target', 'systemd-update-utmp.service'],
  ...['systemd-update-utmp-runlevel.service', 'sys-kernel-debug.mount', 'sys-kernel-tracing.mount', 'dev-hugepages.mount'],
]

/** The host's root with a tmpfs over it for what is written, which also serves where that root is an overlay itself. */
const OVER_ROOT = `
mount -t tmpfs -o mode=755 "$2" "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
`

/** The same for each file system of the host, in layers that tell what is written (own-root.ts). */
const OVER_ALL = `${LAY_ROOT}
lay_root
`

/** Where a machine for somebody's driver has its layers at first: systemd-nspawn mounts its own things over others. */
export const LAYERS_INSIDE = '/run/dummy-fuse-lab'

/**
 * Mounts for a machine that nobody else sees: a root, and a cgroup tree of version 2 alone, as on an ordinary Debian. The shell becomes the first process of
 * a process namespace, and lives as long as its standard input is open: when it ends, all ends.
 */
const hold = (root: string): string => `${WITHOUT_VOLUMES}
set -e
${root}
mount -t cgroup2 cgroup2 ${CGROUPS}
mkdir "${CGROUPS}/$2"
echo ready
exec cat >/dev/null`

/** systemd-nspawn puts its machine below the cgroup that it finds itself in. */
const BOOT = `echo $$ > "${CGROUPS}/$1/cgroup.procs"
shift
exec "$@"`

/** Where a machine is, seen from its namespaces. */
export interface MachinePlace {
  /** Its `root` is the machine's, once there are namespaces for it. A machine for somebody's driver has {@link PLACE} there. */
  readonly folder: string
  /** The name of a cgroup of its own. */
  readonly cgroup: string
}

/**
 * The command that makes namespaces for a machine. It prints `ready`; from then on its only child is the process that holds them, and
 * it ends with its parent process, or when its standard input does: the parent may have died before the kernel was told to kill it.
 */
export function holdCommand(place: MachinePlace): readonly [string, ...string[]] {
  return holding(OVER_ROOT, place)
}

/** The same for a machine of somebody's driver, whose files are those of all file systems of the host. */
export function holdAllCommand(cgroup: string): readonly [string, ...string[]] {
  return holding(OVER_ALL, { folder: PLACE, cgroup })
}

function holding(root: string, { folder, cgroup }: MachinePlace): readonly [string, ...string[]] {
  const namespaces = ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc']
  return ['setpriv', '--pdeathsig', 'KILL', '--', ...namespaces, '--', ...SHELL, hold(root), 'bash', folder, cgroup]
}

/**
 * The command that boots a machine in the namespaces that `holder` holds, and lasts until it is off. `bindings`: files of the host that
 * are to be had inside, read-only: `{ '/inside': '/outside' }`.
 */
export function bootCommand(
  { folder, cgroup }: MachinePlace,
  holder: number,
  bindings: Readonly<Record<string, string>>,
): readonly [string, ...string[]] {
  const bound = Object.entries(bindings).map(([inside, outside]) => `--bind-ro=${outside}:${inside}`)
  return booting({ folder, cgroup }, holder, ['systemd-nspawn'], ['--private-network', ...bound])
}

/** The same for a machine of somebody's driver, with the layers of its files at {@link LAYERS_INSIDE}, and the host's files in /tmp. */
export function bootAllCommand(cgroup: string, holder: number, network: Network): readonly [string, ...string[]] {
  const program = ['env', 'SYSTEMD_NSPAWN_TMPFS_TMP=0', 'systemd-nspawn']
  const apart = network === 'loopback' ? ['--private-network'] : []
  return booting({ folder: PLACE, cgroup }, holder, program, [...apart, `--bind=${PLACE}:${LAYERS_INSIDE}:norbind`])
}

function booting(
  { folder, cgroup }: MachinePlace,
  holder: number,
  program: readonly string[],
  options: readonly string[],
): readonly [string, ...string[]] {
  const apart = ['--register=no', '--keep-unit', '--link-journal=no', '--resolv-conf=off', '--timezone=off', ...options]
  const able = ['--capability=all', '--bind=/dev/fuse']
  const nspawn = [...program, '--quiet', `--directory=${folder}/root`, '--console=pipe', ...apart, ...able, '--boot']
  return ['nsenter', '--target', String(holder), '--mount', '--pid', '--', 'sh', '-c', BOOT, 'sh', cgroup, ...nspawn]
}

/** The machine's systemd below the process that {@link bootCommand} is; undefined until it has started. */
export function systemdBelow(pid: number): number | undefined {
  return childrenOf(pid)
    .flatMap(childrenOf)
    .find((one) => processStat(one)?.comm === 'systemd')
}

/** Has a machine write nothing by itself that would count as a driver's: no timer starts, and the boot does not clear /tmp of the host's files. */
export function quiet(root: string): void {
  const files = join(root, 'etc/tmpfiles.d')
  makeDirectories(files)
  rmSync(join(files, 'tmp.conf'), { force: true })
  symlinkSync(NOTHING, join(files, 'tmp.conf'))
  symlinkSync(NOTHING, join(root, 'etc/systemd/system/timers.target'))
}

/** Takes the host's own units and journal away below a machine's root, and what costs time at boot. */
export function strip(root: string): void {
  for (const path of ['etc/systemd/system', 'var/log/journal']) rmSync(join(root, path), { recursive: true, force: true })
  const units = join(root, 'etc/systemd/system')
  makeDirectories(units)
  for (const unit of MASKED) symlinkSync(NOTHING, join(units, unit))
  symlinkSync('/lib/systemd/system/multi-user.target', join(units, 'default.target'))
  writeFileSync(join(root, 'etc/machine-id'), '')
}
