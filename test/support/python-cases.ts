import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Running, Sandbox } from './sandbox.ts'

/** Seconds that one piece of code may take. */
const LIMIT = 60

/**
 * Each line of standard input is a mount point and a piece of code, as JSON. The code runs in a fork of its own, which is killed when its time is
 * up; one line of JSON tells its wait status and what it printed.
 */
const SERVER = `
import ctypes, errno, json, os, signal, stat, struct, sys, tempfile, threading, time, traceback
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def value(act):
    'What act gives, or the name of its errno.'
    try:
        return act()
    except OSError as error:
        return errno.errorcode[error.errno]

def outcome(act):
    'done, or the name of the errno.'
    return value(lambda: (act(), 'done')[1])

def call(function, *arguments):
    'Calls a function of the C library; raises OSError.'
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def syscall(number, *arguments):
    'Calls x86-64 system call number; raises OSError.'
    return call(libc.syscall, ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])

def show(what):
    print(json.dumps(what))

for line in sys.stdin:
    path, code = json.loads(line)
    file = path + '/dummy-file.txt'
    printed = tempfile.TemporaryFile('w+')
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.alarm(${LIMIT})
        os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
        os.dup2(printed.fileno(), 1)
        status = 0
        try:
            exec(compile(code, 'case', 'exec'), globals())
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            status = 1
        sys.stdout.flush()
        os._exit(status)
    status = os.waitpid(child, 0)[1]
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    printed.seek(0)
    print(json.dumps([status, printed.read()]), flush=True)
`

/**
 * One Python that runs many pieces of code, each in a fork of its own, so that a case costs milliseconds and none sees another's
 * descriptors. A piece has the mount point in `path`, its file in `file`, the functions of SERVER above, and shows its result once.
 */
export class PythonCases {
  readonly #running: Running
  readonly #lines: AsyncIterator<string>
  #hung = false

  /** It is killed at the sandbox's end. */
  constructor(sandbox: Sandbox) {
    const env = { ...process.env, TMPDIR: sandbox.directory('python') }
    this.#running = sandbox.start('python3', ['-c', SERVER], { env })
    const { stdout } = this.#running.child
    if (stdout === null) throw new Error('python3 has no standard output')
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  }

  /**
   * Runs code on the mount at a path and gives what it showed; throws with its traceback. One at a time. A process that waits for a daemon
   * that never answers cannot even be killed: then this and every later call throws.
   */
  async show(path: string, code: string): Promise<unknown> {
    if (this.#hung) throw new Error('an earlier case hangs')
    this.#running.child.stdin?.write(`${JSON.stringify([path, code])}\n`)
    const line = await Promise.race([this.#lines.next(), sleep((LIMIT + 5) * 1000, undefined, { ref: false })])
    if (line === undefined) {
      this.#hung = true
      throw new Error(`hangs, and cannot be killed: ${code}`)
    }
    if (line.done === true) throw new Error(`python3 has ended: ${this.#running.output()}`)
    const [status, printed] = JSON.parse(line.value) as [number, string]
    if ((status & 0x7f) === constants.signals.SIGALRM) throw new Error(`after ${LIMIT} s still running: ${code}`)
    if (status !== 0) throw new Error(`wait status ${status}: ${printed}`)
    return JSON.parse(printed)
  }
}
