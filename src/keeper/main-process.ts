import { messageOf } from '../errors.ts'
import { ChildProgram, type ProcessEnd } from '../os/processes/child-program.ts'
import { pidfdOpen } from '../os/processes/child-processes.ts'
import { sendSignal } from '../os/processes/processes.ts'
import type { DescriptorWatch } from '../os/descriptors/descriptor-watch.ts'
import type { Libc } from '../os/libc.ts'
import type { ProcessTree } from './process-tree.ts'

/** What a process is started with: descriptors are those from 3 up. */
export interface Execution {
  readonly file: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly descriptors: readonly number[]
}

export interface MainProcessContext {
  readonly libc: Libc
  readonly tree: ProcessTree
  readonly watch: DescriptorWatch
}

/** How the main process ended; `problem`: it never ran. */
export interface MainEnd extends ProcessEnd {
  readonly problem?: string
}

/** The program's main process: the one that was started, or the one that MAINPID= named. The program ends with it. */
export class MainProcess {
  readonly #context: MainProcessContext
  readonly #child: ChildProgram
  #onEnd: ((end: MainEnd) => void) | undefined
  #pid = 0
  #pidfd: number | undefined

  /** Starts it in a session of its own. `onEnd` is called once, and never before the constructor has returned. */
  constructor(context: MainProcessContext, { file, args, env, descriptors }: Execution, onEnd: (end: MainEnd) => void) {
    this.#context = context
    this.#onEnd = onEnd
    this.#child = new ChildProgram({ file, args, env, stdio: ['ignore', 'inherit', 'inherit', ...descriptors], detached: true })
    const { pid } = this.#child
    if (pid !== 0) context.tree.spawned(pid)
    this.#pid = pid
    this.#child.ended.then(
      (end) => {
        context.tree.gone(pid)
        if (this.#pid === pid) this.#end(end)
      },
      (error: unknown) => {
        this.#end({ status: null, signal: null, problem: messageOf(error) })
      },
    )
  }

  /** 0 when nothing could be started. */
  get pid(): number {
    return this.#pid
  }

  /** Takes another process for the main one, which need not be a child of ours. Throws SystemError (ESRCH). */
  follow(pid: number): void {
    if (pid === this.#pid || this.#onEnd === undefined) return
    const { libc, tree, watch } = this.#context
    const pidfd = pid === this.#child.pid ? undefined : pidfdOpen(libc, pid)
    this.#unwatch()
    this.#pid = pid
    if (pidfd === undefined) return
    tree.remember(pid)
    this.#pidfd = pidfd
    watch.add(pidfd, () => this.#end(tree.endOf(pid)))
  }

  signal(name: NodeJS.Signals): void {
    if (this.#onEnd !== undefined && this.#pid > 0) sendSignal(this.#pid, name)
  }

  #end(end: MainEnd): void {
    const onEnd = this.#onEnd
    this.#onEnd = undefined
    this.#unwatch()
    onEnd?.(end)
  }

  #unwatch(): void {
    if (this.#pidfd !== undefined) this.#context.watch.closeWatched(this.#pidfd)
    this.#pidfd = undefined
  }
}
