import type { Command } from './command.ts'
import { KUBELET } from './node-paths.ts'

/** The source of the lab's own tmpfs, by which a process knows that it is on a private node. */
export const MARK = 'dummy-fuse-lab'

/**
 * Makes the private node in the new mount namespace, then runs the program as its first process's child. The kubelet's folder is a
 * tmpfs of our own, and shared, as systemd makes every node's (`/` may be private). A machine that is no node has no such folder:
 * then /var/lib is covered by a tmpfs in which all its entries are bound again, so that nothing is written to the machine's own disk
 * and nothing on it vanishes. The working directory goes on reaching what is covered. The shell stays on as process 1: it reaps what
 * daemons leave, as an init does.
 */
const SET_UP = `
set -e
if ! [ -d ${KUBELET} ]; then
  cd /var/lib
  mount -n -t tmpfs -o mode=755 ${MARK} /var/lib
  for entry in * .[!.]*; do
    if [ -L "$entry" ]; then cp -P "$entry" "/var/lib/$entry"
    elif [ -d "$entry" ]; then mkdir "/var/lib/$entry"; mount -n --rbind "./$entry" "/var/lib/$entry"
    elif [ -e "$entry" ]; then : >"/var/lib/$entry"; mount -n --bind "./$entry" "/var/lib/$entry"
    fi
  done
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
 * The command that runs another on a private node: in mount and process namespaces of its own, which end with everything in them
 * when it does. When the process that starts it dies, whatever way, the kernel kills it (PDEATHSIG), and with it process 1.
 */
export function onPrivateNode(inner: Command): Command {
  return {
    executable: 'setpriv',
    argv0: 'setpriv',
    args: [
      ...['--pdeathsig', 'KILL', '--', 'unshare', '--mount', '--propagation', 'private'],
      ...['--pid', '--fork', '--kill-child', '--mount-proc', '--', 'bash', '-c', SET_UP, MARK],
      // A shell cannot choose argv[0] otherwise.
      ...['bash', '-c', 'exec -a "$0" "$@"', inner.argv0, inner.executable, ...inner.args],
    ],
  }
}

/** What a program on the private node may know of the machine: nothing that would change what it does there. */
export function privateEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { PATH: env.PATH, TZ: 'UTC', LC_ALL: 'C', TMPDIR: `${KUBELET}/tmp` }
}
