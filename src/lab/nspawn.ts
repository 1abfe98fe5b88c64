import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { childrenOf } from '../os/processes/child-processes.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { processStat } from '../os/processes/processes.ts'
import { WITHOUT_VOLUMES } from './namespaces.ts'

/** Units of a whole machine that nobody needs here, and that cost time at each boot. */
const MASKED = [
  ...['systemd-logind.service', 'systemd-user-sessions.service', 'getty.target', 'systemd-update-utmp.service'],
  ...['systemd-update-utmp-runlevel.service', 'sys-kernel-debug.mount', 'sys-kernel-tracing.mount', 'dev-hugepages.mount'],
]

/**
 * Mounts for a machine that nobody else sees: the host's root with a tmpfs over it for what is written, which also serves where that
 * root is an overlay itself, and a cgroup tree of version 2 alone, as on an ordinary Debian. The shell stays, as the first process of
 * a process namespace: when it ends, all ends.
 */
const HOLD = `${WITHOUT_VOLUMES}
set -e
mount -t tmpfs -o mode=755 "$2" "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$2"
echo ready
exec sleep infinity`

/** systemd-nspawn puts its machine below the cgroup that it finds itself in. */
const BOOT = `echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
shift
exec "$@"`

/** Where a machine is, seen from its namespaces. */
export interface MachinePlace {
  /** Its `root` is the machine's, once there are namespaces for it. */
  readonly folder: string
  /** The name of a cgroup of its own. */
  readonly cgroup: string
}

/**
 * The command that makes namespaces for a machine. It prints `ready`; from then on its only child is the process that holds them, and
 * it ends with its parent process.
 */
export function holdCommand({ folder, cgroup }: MachinePlace): readonly [string, ...string[]] {
  const namespaces = ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc']
  return ['setpriv', '--pdeathsig', 'KILL', '--', ...namespaces, '--', 'sh', '-c', HOLD, 'sh', folder, cgroup]
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
  const apart = ['--register=no', '--keep-unit', '--private-network', '--link-journal=no', '--resolv-conf=off', '--timezone=off']
  const bound = Object.entries(bindings).map(([inside, outside]) => `--bind-ro=${outside}:${inside}`)
  const able = ['--capability=all', '--bind=/dev/fuse', ...bound]
  const nspawn = ['systemd-nspawn', '--quiet', `--directory=${folder}/root`, '--console=pipe', ...apart, ...able, '--boot']
  return ['nsenter', '--target', String(holder), '--mount', '--pid', '--', 'sh', '-c', BOOT, 'sh', cgroup, ...nspawn]
}

/** The machine's systemd below the process that {@link bootCommand} is; undefined until it has started. */
export function systemdBelow(pid: number): number | undefined {
  return childrenOf(pid)
    .flatMap(childrenOf)
    .find((one) => processStat(one)?.comm === 'systemd')
}

/** Takes the host's own units and journal away below a machine's root, and what costs time at boot. */
export function strip(root: string): void {
  for (const path of ['etc/systemd/system', 'var/log/journal']) rmSync(join(root, path), { recursive: true, force: true })
  const units = join(root, 'etc/systemd/system')
  makeDirectories(units)
  for (const unit of MASKED) symlinkSync('/dev/null', join(units, unit))
  symlinkSync('/lib/systemd/system/multi-user.target', join(units, 'default.target'))
  writeFileSync(join(root, 'etc/machine-id'), '')
}
