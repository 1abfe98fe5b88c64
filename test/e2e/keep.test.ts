import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { childrenOf, observe, startKeep } from '../support/kept.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { argumentsOf, commOf, descriptorsOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const gone = async (pid: number): Promise<void> => {
  await eventually(`process ${pid} is gone`, () => processStat(pid) === undefined)
}

describe('keep', () => {
  it('hands over what sd_notify(3) and sd_listen_fds(3) speak of, and nothing of what it was given itself', async () => {
    await using sandbox = new Sandbox()
    const code = `
say({k: v for k, v in os.environ.items() if k.split('_')[0] in ('LISTEN', 'WATCHDOG', 'KEPT')})
say([os.getpid(), os.getsid(0), sorted(os.listdir('/proc/self/fd')), sys.argv[1:]])
notify('READY=1' + chr(10) + 'STATUS=all is well')
wait()`
    const path = join(sandbox.path, 's.sock')
    const kept = startKeep(
      sandbox,
      code,
      ['--watchdog', '30', '--socket', `${path},name=door`, '--socket', join(sandbox.path, 't.sock')],
      {
        NOTIFY_SOCKET: '/nowhere',
        LISTEN_FDS: '7',
        LISTEN_PID: '1',
        KEPT: 'a  b',
      },
    )
    const [env, process] = await kept.hear(2)
    const pid = await kept.program()
    await kept.logs(/python3\[\d+\] is ready\n.*: all is well/)
    const expected = {
      LISTEN_PID: String(pid),
      LISTEN_FDS: '2',
      LISTEN_FDNAMES: 'door:t.sock',
      WATCHDOG_PID: String(pid),
      WATCHDOG_USEC: '30000000',
      KEPT: 'a  b',
    }
    assert.deepEqual(env, expected)
    // The last is the folder's own.
    assert.deepEqual(process, [pid, pid, ['0', '1', '2', '3', '4', '5'], [sandbox.path]])
    assert.equal(commOf(kept.running.pid), 'dummy-fuse-keep')
    assert.equal(commOf(pid), 'python3')
  })

  it('starts the program again at once when it ends after READY=1, however it ends', async () => {
    await using sandbox = new Sandbox()
    const code = `
lives = len(open(folder + '/said').readlines()) if os.path.exists(folder + '/said') else 0
notify('READY=1')
say(lives)
if lives == 0: sys.exit(0)
if lives == 1: sys.exit(3)
if lives == 2: os.kill(os.getpid(), 9)
wait()`
    const kept = startKeep(sandbox, code)
    assert.deepEqual(await kept.hear(4), [0, 1, 2, 3])
    assert.doesNotMatch(kept.running.output(), /again in/)
    assert.match(kept.running.output(), /exit status 0\n[^]*exit status 3\n[^]*ended: SIGKILL\n/)
  })

  it('waits longer each time when the program ends before READY=1, and begins anew once it was ready', async () => {
    await using sandbox = new Sandbox()
    const code = `
lives = len(open(folder + '/said').readlines()) if os.path.exists(folder + '/said') else 0
if lives == 3: notify('READY=1')
say(lives)
if lives == 5: wait()`
    const kept = startKeep(sandbox, code)
    await kept.hear(6)
    const delays = [...kept.running.output().matchAll(/again in ([\d.]+) s/g)].map(([, delay]) => delay)
    assert.deepEqual(delays, ['0.1', '0.2', '0.4', '0.1'])
  })

  it('starts at SIGHUP what is at the path then, at once, whatever the exit status, and waits for a file that is away', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'program')
    const install = (version: string, status: number): void => {
      const trap = `trap 'exit ${status}' HUP; echo '"${version}"' >> ${sandbox.path}/said`
      writeFileSync(`${file}.new`, `#!/bin/sh\n${trap}\nwhile :; do sleep 0.05; done\n`)
      chmodSync(`${file}.new`, 0o755)
      renameSync(`${file}.new`, file)
    }
    install('one', 5)
    const kept = observe(sandbox, sandbox.start(EXECUTABLE, ['keep', '--', file]))
    await kept.hear(1)
    install('two', 0)
    kept.running.child.kill('SIGHUP')
    assert.deepEqual(await kept.hear(2), ['one', 'two'])
    // It never said READY=1: only the SIGHUP makes it start without delay.
    assert.doesNotMatch(kept.running.output(), /again in/)
    rmSync(file)
    kept.running.child.kill('SIGHUP')
    await kept.logs(/program does not exist or is not executable/)
    install('three', 0)
    assert.deepEqual(await kept.hear(3), ['one', 'two', 'three'])
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).status, 0)
  })

  it('kills a program that does not end at SIGHUP either, and starts the next', async () => {
    await using sandbox = new Sandbox()
    const code = `signal.signal(signal.SIGHUP, signal.SIG_IGN); notify('READY=1'); say(os.getpid()); wait()`
    const kept = startKeep(sandbox, code, ['--stop-timeout', '0.2'])
    await kept.hear(1)
    await kept.logs(/is ready/)
    kept.running.child.kill('SIGHUP')
    await kept.hear(2)
    await kept.logs(/did not end in time: SIGKILL/)
  })

  it('forwards other signals', async () => {
    await using sandbox = new Sandbox()
    const signals = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGQUIT', 'SIGALRM', 'SIGCONT', 'SIGPWR', 'SIGURG', 'SIGIO'] as const
    const code = `
for name in ${JSON.stringify(signals)}: signal.signal(getattr(signal, name), lambda number, frame, name=name: say(name))
notify('READY=1')
say('begun')
wait()`
    const kept = startKeep(sandbox, code)
    await kept.hear(1)
    for (const [index, name] of signals.entries()) {
      kept.running.child.kill(name)
      assert.equal((await kept.hear(2 + index))[1 + index], name)
    }
  })

  it('listens itself, so that clients wait while the program is away', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'deep', 's.sock')
    const code = `
[(_, fd)] = listen()
if not os.path.exists(folder + '/said'):
    say('not yet')
    sys.exit(1)
s = socket.socket(fileno=fd)
notify('READY=1')
c, _ = s.accept()
c.sendall(b'at last')
c.close()
wait()`
    const kept = startKeep(sandbox, code, ['--socket', path])
    await kept.hear(1)
    const answer = await new Promise<string>((resolve, reject) => {
      let text = ''
      const socket = connect(path)
      socket.on('data', (data: Buffer) => (text += data.toString()))
      socket.on('error', reject)
      socket.on('end', () => {
        resolve(text)
      })
    })
    assert.equal(answer, 'at last')
    assert.equal(statSync(path).mode & 0o777, 0o600)

    const second = await sandbox.run(EXECUTABLE, ['keep', '--socket', path, '--', 'true'])
    assert.equal(second.status, 1)
    assert.match(second.stderr, /^\S+ \S+ another process listens on \S+; waiting 10 s for it to end\n/)
    assert.ok(second.stderr.endsWith(`\ndummy-fuse-keep: another process listens on ${path}; stop it, or name another endpoint\n`))
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).status, 0)
    assert.ok(!existsSync(path))
  })

  it('reaps what others leave to it, and kills what the program leaves behind', async () => {
    await using sandbox = new Sandbox()
    const code = `
def orphan(what):
    if os.fork() == 0:
        if os.fork() == 0: what()
        os._exit(0)
    os.wait()
for _ in range(20): orphan(lambda: os._exit(0))
def stray():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(os.getpid())
    wait()
if not os.path.exists(folder + '/said'): orphan(stray)
notify('READY=1')
wait()`
    const kept = startKeep(sandbox, code)
    const [stray] = (await kept.hear(1)) as [number]
    await kept.logs(/is ready/)
    const first = childrenOf(kept.running.pid).find((pid) => pid !== stray)
    assert.ok(first !== undefined)
    await eventually('the orphans are reaped', () => childrenOf(kept.running.pid).length === 2)
    process.kill(first, 'SIGKILL')
    await kept.logs(/killed 1 processes/)
    await gone(stray)
    await eventually('there is one child', () => childrenOf(kept.running.pid).length === 1)
    assert.notDeepEqual(childrenOf(kept.running.pid), [first])
  })

  it('follows the process that MAINPID= names, be it a child of its or not', async () => {
    await using sandbox = new Sandbox()
    const code = `
lives = len(open(folder + '/said').readlines()) if os.path.exists(folder + '/said') else 0
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(4))
    notify(f'MAINPID={os.getpid()}' + chr(10) + 'READY=1')
    barrier()
    os.write(w, b'x')
    say(os.getpid())
    wait()
os.read(r, 1)
if lives == 1: os._exit(0)
wait()`
    const kept = startKeep(sandbox, code)
    // The one that forked is still there: the main process is its child and none of keep's.
    const [first] = (await kept.hear(1)) as [number]
    await kept.logs(/is ready/)
    assert.notDeepEqual(childrenOf(kept.running.pid), [first])
    process.kill(first, 'SIGKILL')
    await kept.logs(/ended: its status went to its parent/)
    const [, second] = (await kept.hear(2)) as [number, number]
    await eventually('its parent has left it to keep', () => childrenOf(kept.running.pid).join() === String(second))
    kept.running.child.kill('SIGUSR1')
    await kept.logs(/ended: exit status 4/)
    await kept.hear(3)
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).signal, null)
  })

  it('does not take a process for the main one that is none of the program’s', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, `notify('MAINPID=1' + chr(10) + 'READY=1'); notify('MAINPID=999999999'); wait()`)
    await kept.logs(/names 1 as the main process: it is not one of[^]*names 999999999 as/)
    await kept.logs(/is ready/)
  })

  it('ends with wrong words named', async () => {
    await using sandbox = new Sandbox()
    const cases: readonly [readonly string[], number, RegExp][] = [
      [[], 2, /missing required argument 'program'/],
      [['--', ''], 1, /does not exist or is not executable/],
      [['--', '/etc/passwd'], 1, /^dummy-fuse-keep: \/etc\/passwd does not exist or is not executable/],
      [['--', 'no-such-program'], 1, /^dummy-fuse-keep: no-such-program does not exist/],
      [['--store-max', '-1', 'true'], 2, /number from 0 to 100000/],
      [['--takeover-deadline', '0', 'true'], 2, /number of seconds from 0\.1/],
      [['--stop-timeout', 'soon', 'true'], 2, /number of seconds/],
      [['--socket', 'here.sock', 'true'], 2, /not an absolute path/],
      [['--socket', '/run/x.sock,name=a:b', 'true'], 2, /no colon/],
      [['--socket', '/run/x.sock', '--socket', '/run/x.sock', 'true'], 2, /given twice/],
      [['--log-format', 'xml', 'true'], 2, /Allowed choices are text, json/],
      [['--frobnicate', 'true'], 2, /unknown option '--frobnicate'; there are .*--socket/],
    ]
    for (const [args, status, message] of cases) {
      const result = await sandbox.run(EXECUTABLE, ['keep', ...args])
      assert.equal(result.status, status, args.join(' '))
      assert.match(result.stderr, message)
      assert.equal(result.stderr.trimEnd().split('\n').length, 1)
    }
  })

  it('costs no processor time when nothing happens', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, `notify('READY=1'); wait()`, ['--log-format', 'json'])
    await kept.logs(/"msg":"python3\[\d+\] is ready"/)
    const switches = (): number => {
      const threads = [...readFileSync(`/proc/${kept.running.pid}/status`, 'utf8').matchAll(/ctxt_switches:\s*(\d+)/g)]
      return threads.reduce((sum, [, count]) => sum + Number(count), 0)
    }
    let before = switches()
    await eventually('a second without a wake-up of its main thread', async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000))
      const now = switches()
      const same = now === before
      before = now
      return same
    })
    assert.ok(descriptorsOf(kept.running.pid).length > 0)
    assert.ok(argumentsOf(kept.running.pid).includes('keep'))
  })
})
