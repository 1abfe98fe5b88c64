import type { Command } from './command.ts'
import type { Network } from './driver/spec.ts'
import { CGROUPS, KUBELET, MARK } from './node-paths.ts'
import { LAY_BARE, MAKE_KUBELET, OWN_ROOT, PLACE } from './own-root.ts'

/**
 * A shell function: `cover FOLDER NAME` covers a folder by a tmpfs in which all its entries but NAME are bound again, so that nothing is
 * written to the machine's own disk and nothing on it vanishes. The working directory goes on reaching what is covered, unless mount(8)
 * makes its paths absolute.
 */
export const COVER = `
cover() {
  cd "$1"
  mount -n -t tmpfs -o "mode=$(stat -c %a .)" ${MARK} "$1"
  for entry in * .[!.]*; do
    if [ "$entry" = "$2" ]; then :
    elif [ -L "$entry" ]; then cp -P "$entry" "$1/$entry"
    elif [ -d "$entry" ]; then mkdir "$1/$entry"; mount -n -c --rbind "./$entry" "$1/$entry"
    elif [ -e "$entry" ]; then : >"$1/$entry"; mount -n -c --bind "./$entry" "$1/$entry"
    fi
  done
  cd /
}
`

/**
 * Makes the private node in the new mount namespace, then runs the program as its first process's child. The kubelet's folder is a
 * tmpfs of our own, and shared, as systemd makes every node's (`/` may be private). A machine that is no node has no such folder:
 * then /var/lib is covered. The shell stays on as process 1: it reaps what daemons leave, as an init does.
 *
 * The rest of the namespace is a slave of the machine's, so that what is unmounted there is not held here.
 */
const SET_UP = `${COVER}
set -e
if ! [ -d ${KUBELET} ] || [ -L ${KUBELET} ]; then
  cover /var/lib kubelet
  mkdir ${KUBELET}
fi
cd /
mount -n -t tmpfs -o mode=755 ${MARK} ${KUBELET}
mount -n --make-shared ${KUBELET}
mkdir -m 1777 ${KUBELET}/tmp
set +e
"$@"
exit $?
`

/**
 * Unmounts the copies of the machine's volumes that a new mount namespace has: a copy keeps the session of a volume that is unmounted on the machine. One that is
 * also unmounted on the machine just then is no failure. Reverse order has a mount before those above it. tac(1) would need a folder for temporary files, which a
 * node has only later.
 */
export const WITHOUT_VOLUMES = `
sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - fuse\\.dummy-fuse .*/\\1/p' /proc/self/mountinfo | LC_ALL=C sort -r | while read -r at; do
  umount -n -c -l "$(printf %b "$at")" 2>/dev/null
done
`

/** A systemd that supervises the machine cannot supervise what runs in another process namespace: programs are to find none. */
const HIDE_SYSTEMD = `
set -e
if [ -d /run/systemd/system ]; then mount -n -t tmpfs -o mode=755 ${MARK} /run/systemd; fi
`

/** Moves the first process of the node, and with it all others, into the cgroup that the first word names. */
const JOIN_CGROUP = `
set -e
mount -n -t cgroup2 cgroup2 ${CGROUPS}
echo 0 >"${CGROUPS}$1/cgroup.procs"
umount -n ${CGROUPS}
shift
set +e
`

/** The root of the hierarchy is the cgroup that this process is in, for it and all that it starts. */
const OWN_CGROUPS = `mount -n -t cgroup2 cgroup2 ${CGROUPS} && exec -a "$0" "$@"`

/** Node's pipes are sockets, on which bash takes itself for a remote shell and reads ~/.bashrc unless told not to. */
export const SHELL = ['bash', '--norc', '-c'] as const

/**
 * The command that runs another on a private node: in mount and process namespaces of its own, which end with everything in them
 * when it does. When the process that starts it dies, whatever way, the kernel kills it (PDEATHSIG), and with it process 1.
 */
export function onPrivateNode(inner: Command): Command {
  return inNamespaces(inner, [], WITHOUT_VOLUMES + HIDE_SYSTEMD + SET_UP)
}

/**
 * The same for somebody's driver, which may write anywhere: its node has a root of its own as well (own-root.ts), and with `loopback` a network of
 * its own, whose loopback interface is down. `cgroup`: the path of one of version 2 that the node has to itself (node-cgroup.ts). It is the root of the hierarchy
 * that the node sees, and there is nothing else at /sys/fs/cgroup.
 */
export function onDriverNode(inner: Command, network: Network, cgroup?: string): Command {
  const more = network === 'loopback' ? ['--net'] : []
  const setUp = WITHOUT_VOLUMES + HIDE_SYSTEMD + OWN_ROOT + SET_UP
  if (cgroup === undefined) return inNamespaces(inner, more, setUp)
  const { executable, args, argv0 } = inner
  const within = ['--cgroup', '--', ...SHELL, OWN_CGROUPS, argv0, executable, ...args]
  return inNamespaces({ executable: 'unshare', argv0: 'unshare', args: within }, more, JOIN_CGROUP + setUp, [cgroup])
}

/** What of a machine is on file systems of its own, and not in a layer over the files of the lab's machine. */
const OWN_FOLDERS = ['/run', '/dev/shm']

/** Brings the layers of a machine to where they are on any node of a driver. `$1` is where they are at first. */
const MACHINE_LAYERS = `${LAY_BARE}
set -e
mount -n --bind "$1" ${PLACE}
umount -n "$1"
rmdir "$1"
shift
number=0
for at in ${OWN_FOLDERS.join(' ')}; do
  number=$((number + 1))
  lay_bare "own-$number" "$at"
done
${MAKE_KUBELET}
set +e
`

/**
 * The command that runs another on a machine that is the node of somebody's driver. `enter`: what comes before a command to have it carried out there. `layers`:
 * where the layers of its files are at first. Process ids are those of the machine's systemd. The end of the machine is what ends it all.
 */
export function onMachineNode(inner: Command, enter: readonly string[], layers: string): Command {
  const setUp = [...SHELL, MACHINE_LAYERS + SET_UP, MARK, layers]
  return behind([...inScope(enter, ['--unit=dummy-fuse-lab']), ...setUp], inner)
}

/** `words`: those that the set-up takes from its arguments. */
function inNamespaces(inner: Command, more: readonly string[], setUp: string, words: readonly string[] = []): Command {
  const apart = ['--pid', '--fork', '--kill-child', '--mount-proc']
  return behind([...OWN_MOUNTS, ...more, ...apart, '--', ...SHELL, setUp, MARK, ...words], inner)
}

/**
 * The same where systemd supervises what runs on the node: within a scope of a slice of its own (`slice`, without `.slice`), and without
 * a process namespace, so that systemd and the node mean the same process by a number. `enter`: what comes before a command to have
 * it carried out where that systemd is. The slice is what ends it all (lab/systemd.ts).
 */
export function onSystemdNode(inner: Command, enter: readonly string[], slice: string): Command {
  const scope = inScope(enter, [`--slice=${slice}.slice`, `--unit=${slice}_node`])
  return behind([...scope, ...OWN_MOUNTS, '--', ...SHELL, SET_UP, MARK], inner)
}

/** Words that execute those behind them with the mounts of the machine in a namespace of their own. */
const OWN_MOUNTS = ['unshare', '--mount', '--propagation', 'slave'] as const

/** Words that execute those behind them and end with whatever has started them. */
const WITH_PARENT = ['setpriv', '--pdeathsig', 'KILL', '--'] as const

/** Words that execute those behind them in a scope of the systemd where `enter` leads. `options`: of the scope. */
function inScope(enter: readonly string[], options: readonly string[]): readonly string[] {
  return [...enter, 'systemd-run', '--scope', '--quiet', '--collect', ...options, '--', ...WITH_PARENT]
}

/** A command behind words that execute it. It ends with whatever has started it. */
function behind(words: readonly string[], inner: Command): Command {
  const [executable, ...options] = WITH_PARENT
  // A shell cannot choose argv[0] otherwise.
  const named = [...SHELL, 'exec -a "$0" "$@"', inner.argv0, inner.executable, ...inner.args]
  return { executable, argv0: executable, args: [...options, ...words, ...named] }
}

/** The variables that a program on the private node has. */
export const NODE_VARIABLES = ['PATH', 'TZ', 'LC_ALL', 'TMPDIR'] as const

/** What a program on the private node may know of the machine: nothing that would change what it does there. */
export function privateEnvironment(env: NodeJS.ProcessEnv): Record<(typeof NODE_VARIABLES)[number], string> {
  return { PATH: env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', TZ: 'UTC', LC_ALL: 'C', TMPDIR: `${KUBELET}/tmp` }
}
