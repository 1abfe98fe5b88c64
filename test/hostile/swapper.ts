import type { Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Swaps of which {@link Swapper.many} tells. */
const MANY = 100

/**
 * A process that puts symbolic links in place of directories for up to ten milliseconds, again and again, each time in one step (renameat2(2),
 * RENAME_EXCHANGE). Of each pair `PATH` is the directory, and `PATH.link` the link.
 */
export class Swapper {
  readonly #running: Running

  private constructor(running: Running) {
    this.#running = running
  }

  /** `user`: the id of the user that it runs as. Directories that are not there just now are left out. */
  static async start(sandbox: Sandbox, paths: readonly string[], user: number, seed: number): Promise<Swapper> {
    const code = [
      'import ctypes, os, random, signal, sys, time',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'user, paths = int(sys.argv[1]), sys.argv[3:]',
      'random.seed(int(sys.argv[2]))',
      'over, swaps, away = False, 0, set()',
      'def end(*_):',
      '    global over',
      '    over = True',
      'signal.signal(signal.SIGTERM, end)',
      'signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])',
      'if user != 0: os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)',
      'def swap(path):',
      '    global swaps',
      '    if libc.syscall(316, -100, path.encode(), -100, (path + ".link").encode(), 2) != 0: return',
      '    swaps += 1',
      `    if swaps == ${MANY}: print("many", flush=True)`,
      '    away.symmetric_difference_update([path])',
      'print("swapping", flush=True)',
      'while not over:',
      '    path = random.choice(paths)',
      // Mostly all is in its place, so that calls get on.
      '    swap(path)',
      '    time.sleep(random.random() * 0.01)',
      '    if path in away: swap(path)',
      '    time.sleep(random.random() ** 3 * 0.006)',
      'print("stopped", flush=True)',
      'signal.sigwait([signal.SIGUSR1])',
      // Below a link another one cannot be reached.
      'for _ in paths:',
      '    for path in sorted(away, key=len): swap(path)',
      'print("swaps", swaps, "left", len(away), flush=True)',
    ].join('\n')
    const running = sandbox.start('python3', ['-c', code, String(user), String(seed), ...paths])
    await eventually('the swapper begins', () => running.output().includes('swapping'))
    return new Swapper(running)
  }

  /** Whether it has swapped a hundred times. */
  get many(): boolean {
    return this.#running.output().includes('many')
  }

  /** From now on every path stays what it is. Links may still be in place of directories. */
  async stop(): Promise<void> {
    this.#running.child.kill('SIGTERM')
    await eventually('the swapper stops', () => this.#running.output().includes('stopped'))
  }

  /** After `stop`: ends it with every directory in its place; resolves to how often it has put a link there or taken one away. */
  async end(): Promise<number> {
    this.#running.child.kill('SIGUSR1')
    const { stdout, stderr } = await this.#running.ended
    const [, swaps, left] = /swaps (\d+) left (\d+)/.exec(stdout) ?? []
    if (swaps === undefined || left !== '0') throw new Error(`the swapper did not end well: ${stdout}${stderr}`)
    return Number(swaps)
  }
}
