import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { EXECUTABLE } from './paths.ts'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** The program that a path of its own leads to starts quicker than one that is looked for. */
export const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3'

/** Speaks sd_notify(3) by its own means; `say` adds a line of JSON to the file that the test reads. */
const PRELUDE = `
import array, json, mmap, os, signal, socket, sys, time
folder, life = sys.argv[1], 0
def say(value):
    with open(folder + '/said', 'a') as file: file.write(json.dumps(value) + chr(10))
def target():
    return chr(0) + os.environ['NOTIFY_SOCKET'][1:]
def notify(text, fds=(), address=None):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(address or target())
        payload = text if type(text) == type(b'') else text.encode()
        s.sendmsg([payload], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])
def barrier():
    r, w = os.pipe()
    notify('BARRIER=1', [w])
    os.close(w)
    assert os.read(r, 1) == b''
    os.close(r)
def store(name, *fds, more=''):
    notify('FDSTORE=1' + chr(10) + ('' if name is None else 'FDNAME=' + name) + chr(10) + more, fds)
def listen():
    if 'LISTEN_FDS' not in os.environ: return []
    assert int(os.environ['LISTEN_PID']) == os.getpid()
    names = os.environ['LISTEN_FDNAMES'].split(':')
    assert len(names) == int(os.environ['LISTEN_FDS'])
    return [(name, 3 + at) for at, name in enumerate(names)]
def names(): return [name for name, fd in listen()]
# A signal between the interpreter's last look and pause(2) would be handled at the next signal only.
def wait():
    while True: time.sleep(0.5)
`

/** keep with a program of Python. */
export interface Kept {
  readonly running: Running
  /** What the program has said, in all its lives. */
  readonly said: () => unknown[]
  /** Waits until it has said so much; returns all of it. */
  readonly hear: (count: number) => Promise<unknown[]>
  /** Waits for a line of keep's log. */
  readonly logs: (what: RegExp) => Promise<void>
  /** The id of the process that runs the program, once there is one. */
  readonly program: () => Promise<number>
}

/** Starts `WRAPPER keep OPTIONS -- python3 …`; the code has the sandbox's path in `folder`. */
export function startKeep(
  sandbox: Sandbox,
  code: string,
  options: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  wrapper: readonly string[] = [],
): Kept {
  const [file, ...args] = [...wrapper, EXECUTABLE, 'keep', ...options, '--', PYTHON, '-c', PRELUDE + code, sandbox.path]
  return observe(sandbox, sandbox.start(file, args, { env: { ...process.env, ...env } }))
}

/** What `startKeep` returns, for a keep that was started in another way. */
export function observe(sandbox: Sandbox, running: Running): Kept {
  const said = (): unknown[] => {
    const file = join(sandbox.path, 'said')
    if (!existsSync(file)) return []
    return readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown)
  }
  const within = async <T>(what: string, condition: () => T): Promise<NonNullable<T>> => {
    try {
      return await eventually(what, condition, 60_000)
    } catch (error) {
      throw new Error(`${what}; said ${JSON.stringify(said())}; log:\n${running.output()}`, { cause: error })
    }
  }
  return {
    running,
    said,
    hear: async (count) => {
      await within(`the program has said ${count} things`, () => said().length >= count)
      const all = said()
      // What keep has logged before that is in its pipe until the next turn of the event loop.
      await setImmediate()
      return all
    },
    logs: async (what) => {
      await within(`keep logs ${String(what)}`, () => what.test(running.output()))
    },
    program: async () => await within('the program runs', () => childrenOf(running.pid)[0]),
  }
}

/** The children of a process, zombies too. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

/** Python with the same helpers that is nothing of keep's. */
export async function stranger(sandbox: Sandbox, code: string): Promise<void> {
  const { status, stderr } = await sandbox.run(PYTHON, ['-c', PRELUDE + code, sandbox.path])
  if (status !== 0) throw new Error(stderr)
}
