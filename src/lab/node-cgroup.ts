import { messageOf } from '../errors.ts'
import { ChildProgram } from '../os/processes/child-program.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { pidNamespace } from '../os/processes/processes.ts'
import { randomHex } from '../os/random.ts'
import { SHELL, WITHOUT_VOLUMES } from './namespaces.ts'
import { CGROUPS } from './node-paths.ts'
import { until } from './wait.ts'

/** What the cgroups of nodes are called; the lab's process namespace, its id in that and a number come next. */
const PREFIX = 'dummy-fuse-lab-node-'

/** Milliseconds that a cgroup takes at most to be removed; the last processes of its node end meanwhile. */
const REMOVAL = 60_000

/**
 * Makes a cgroup below its own, and looks whether a process can be moved there; prints `ready` and its path. When its standard input ends, it removes the
 * cgroup, and all below it, as soon as no process is in them. It has a mount of the hierarchy of its own, since that of a container may be read-only.
 *
 * Those of labs that were killed together with this process are removed first: no process has the id in their names.
 */
const HOLD = `${WITHOUT_VOLUMES}
remove() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; }
set -e
mount -n -t cgroup2 cgroup2 ${CGROUPS}
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
cd "${CGROUPS}$own"
set +e
# A lab that is killed now reads no line, and the cgroup is removed all the same.
trap '' PIPE
for old in "$1"*; do
  id=\${old#"$1"}
  if [ -d "$old" ] && ! [ -e "/proc/\${id%%-*}" ]; then remove "$old"; fi
done
name=$1$2
mkdir "$name" || exit
(echo 0 >"$name/cgroup.procs") || { rmdir "$name"; exit 1; }
echo "ready \${own%/}/$name"
cat >/dev/null
for ((tries = ${REMOVAL / 100}; tries > 0; tries--)); do
  remove "$name"
  if ! [ -d "$name" ]; then exit 0; fi
  sleep 0.1
done
echo "there are still processes in the cgroup \${own%/}/$name" >&2
exit 1
`

/**
 * A cgroup (version 2) that a node has to itself, with all that is made below it. A process of its own removes it when it is disposed of, and also when the
 * lab is killed.
 */
export class NodeCgroup implements AsyncDisposable {
  /** Where it is below the mount of the hierarchy, with a slash before it. */
  readonly path: string
  readonly #holder: ChildProgram
  readonly #said: { text: string }

  private constructor(path: string, holder: ChildProgram, said: { text: string }) {
    this.path = path
    this.#holder = holder
    this.#said = said
  }

  /** Rejects with an Error that says why there can be none. */
  static async make(): Promise<NodeCgroup> {
    const name = [`${PREFIX}${pidNamespace()}-`, `${process.pid}-${randomHex(4)}`]
    const holder = new ChildProgram({
      file: 'unshare',
      args: ['--mount', '--propagation', 'private', '--', ...SHELL, HOLD, 'bash', ...name],
      stdio: 'pipe',
      // The terminal's Ctrl-C is for the lab.
      detached: true,
    })
    const [printed, said] = [{ text: '' }, { text: '' }]
    holder.stdin?.on('error', () => undefined)
    holder.stdout?.setEncoding('utf8').on('data', (text: string) => (printed.text += text))
    holder.stderr?.setEncoding('utf8').on('data', (text: string) => (said.text += text))
    try {
      const path = (): string | undefined => /^ready (\/.*)\n/.exec(printed.text)?.[1]
      const over = { yet: false }
      holder.closed.finally(() => (over.yet = true)).catch((error: unknown) => (said.text += messageOf(error)))
      await until('the cgroup of a node is made', () => over.yet || path() !== undefined)
      const made = path()
      if (made !== undefined) return new NodeCgroup(made, holder, said)
      throw new Error(said.text.trim() || 'its process was killed')
    } catch (error) {
      holder.stdin?.end()
      throw new Error(
        `podCgroups: the lab cannot make cgroups of version 2 here: ${messageOf(error)}; run it where it may, or leave podCgroups out of the driver's file`,
        { cause: error },
      )
    }
  }

  /** Resolves when the cgroup is gone. Rejects with an Error if processes stay in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.stdin?.end()
    const end = await settledWithin(this.#holder.closed, 2 * REMOVAL)
    if (end === 'late' || end.status !== 0) throw new Error(`the node left a cgroup behind: ${this.#said.text.trim() || this.path}`)
  }
}
