import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { startKeep } from '../support/kept.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const IGNORE = 'signal.signal(signal.SIGTERM, signal.SIG_IGN)'

describe('keep, told to stop', () => {
  const cases: readonly { title: string; code: string; status: number; log: RegExp; signal?: NodeJS.Signals; timeout?: string }[] =
    [
      { title: 'the program ends by SIGTERM', code: '', status: 0, log: /ended: SIGTERM/ },
      { title: 'the same at SIGINT', code: '', status: 0, log: /ended: SIGTERM/, signal: 'SIGINT' },
      {
        title: 'the program ends with 0',
        code: 'signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))',
        status: 0,
        log: /ended: exit status 0/,
      },
      {
        title: 'the program ends with 7',
        code: 'signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))',
        status: 7,
        log: /ended: exit status 7/,
      },
      {
        title: 'the program has to be killed',
        code: IGNORE,
        status: 137,
        log: /did not end in time: SIGKILL\n.*ended: SIGKILL/,
        timeout: '0.3',
      },
    ]
  for (const { title, code, status, log, signal = 'SIGTERM', timeout = '90' } of cases) {
    it(`ends with the program's status, and drops what it holds: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const kept = startKeep(sandbox, `${code}\nstore('m', os.memfd_create('m'))\nnotify('READY=1')\nwait()`, [
        '--stop-timeout',
        timeout,
      ])
      await kept.logs(/is ready/)
      kept.running.child.kill(signal)
      const end = await kept.running.ended
      assert.deepEqual([end.status, end.signal], [status, null])
      assert.match(end.stderr, log)
      assert.deepEqual(sandbox.processes(), [])
    })
  }

  it('takes the whole tree along, also what has left the session and does not listen', async () => {
    await using sandbox = new Sandbox()
    const code = `
for depth in range(3):
    if os.fork() == 0:
        os.setsid()
        ${IGNORE}
        if os.fork() == 0: say(os.getpid())
        wait()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while not os.path.exists(folder + '/said') or len(open(folder + '/said').readlines()) < 3: time.sleep(0.01)
notify('READY=1')
wait()`
    const kept = startKeep(sandbox, code)
    await kept.logs(/is ready/)
    assert.equal(sandbox.processes('python3').length, 7)
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).status, 0)
    assert.deepEqual(sandbox.processes(), [])
  })

  it('waits longer when the program asks for it', async () => {
    await using sandbox = new Sandbox()
    const code = `
def slowly(*_):
    notify('STOPPING=1' + chr(10) + 'EXTEND_TIMEOUT_USEC=30000000')
    time.sleep(6)
    sys.exit(9)
signal.signal(signal.SIGTERM, slowly)
notify('READY=1')
wait()`
    const kept = startKeep(sandbox, code, ['--stop-timeout', '4'])
    await kept.logs(/is ready/)
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).status, 9)
  })

  it('ends while it waits to start the program again', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, 'sys.exit(6)')
    // Long enough that it still waits when a busy machine has told us.
    await kept.logs(/again in 3\.2 s/)
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).status, 6)
  })
})

describe('keep, watching', () => {
  const start = "import functools\nnotify('READY=1')\nsay(os.environ['WATCHDOG_USEC'] if 'WATCHDOG_USEC' in os.environ else None)\n"

  it('aborts a program that is silent for too long, and kills one that does not end by that', async () => {
    await using sandbox = new Sandbox()
    const code = `
if os.path.exists(folder + '/said'): signal.signal(signal.SIGABRT, signal.SIG_IGN)
${start}
wait()`
    const kept = startKeep(sandbox, code, ['--watchdog', '0.3'])
    await kept.logs(/missed its watchdog: SIGABRT\n.*ended: SIGABRT/)
    await kept.logs(/did not end at SIGABRT: SIGKILL\n.*ended: SIGKILL/)
    assert.deepEqual((await kept.hear(3)).slice(0, 3), ['300000', '300000', '300000'])
  })

  it('leaves one alone that says WATCHDOG=1, and aborts it at WATCHDOG=trigger', async () => {
    await using sandbox = new Sandbox()
    const code = `${start}
for _ in range(45):
    notify('WATCHDOG=1')
    time.sleep(0.1)
say('alive')
notify('WATCHDOG=trigger')
wait()`
    const kept = startKeep(sandbox, code, ['--watchdog', '3'])
    assert.deepEqual((await kept.hear(2)).slice(0, 2), ['3000000', 'alive'])
    await kept.logs(/SIGABRT/)
    assert.equal(kept.running.output().match(/missed/g)?.length, 1)
  })

  it('takes another time from WATCHDOG_USEC=, where it had none', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, `${start}notify('WATCHDOG_USEC=200000')\nwait()`, ['--watchdog', '0'])
    await kept.logs(/missed its watchdog: SIGABRT/)
    assert.equal(kept.said()[0], null)
  })

  it('asks for a sign of life within 30 s by default', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, `${start}wait()`)
    assert.deepEqual(await kept.hear(1), ['30000000'])
  })
})

describe('keep, killed', () => {
  it('takes the program along, and leaves only a socket that the next one replaces', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 's.sock')
    const code = `
def end(*_):
    say('told to end')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
notify('READY=1')
say(os.environ['NOTIFY_SOCKET'])
wait()`
    const kept = startKeep(sandbox, code, ['--socket', path])
    const [address] = (await kept.hear(1)) as [string]
    const pid = await kept.program()
    assert.ok(readFileSync('/proc/net/unix', 'utf8').includes(address))
    kept.running.child.kill('SIGKILL')
    assert.equal((await kept.hear(2))[1], 'told to end')
    await eventually('the program is gone', () => processStat(pid) === undefined)
    await eventually('its socket is gone', () => !readFileSync('/proc/net/unix', 'utf8').includes(address))
    assert.ok(existsSync(path))
    const next = startKeep(sandbox, code, ['--socket', path])
    await next.logs(/is ready/)
    next.running.child.kill('SIGTERM')
    assert.equal((await next.running.ended).status, 0)
    assert.ok(!existsSync(path))
  })

  it('is followed at once by the next one, which waits for the program that still has the socket', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 's.sock')
    const code = `
def end(*_):
    say('told to end')
    while not os.path.exists(folder + '/end'): time.sleep(0.01)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
notify('READY=1')
say('ready')
wait()`
    const kept = startKeep(sandbox, code, ['--socket', path])
    await kept.hear(1)
    kept.running.child.kill('SIGKILL')
    await kept.hear(2)
    const next = startKeep(sandbox, code, ['--socket', path])
    await next.logs(/another process listens on .*; waiting 10 s for it to end/)
    writeFileSync(join(sandbox.path, 'end'), '')
    await next.logs(/is ready/)
    next.running.child.kill('SIGTERM')
    assert.equal((await next.running.ended).status, 0)
  })

  it('is the first process of a container as well as any other', async () => {
    await using sandbox = new Sandbox()
    const code = `
say([os.getpid(), os.getppid(), len(names())])
if not listen():
    store('m', os.memfd_create('m'))
    notify('READY=1')
    os.kill(os.getpid(), 9)
notify('READY=1')
if os.fork() == 0:
    if os.fork() == 0: time.sleep(0.1)
    os._exit(0)
os.wait()
while True:
    alive = sorted(int(p) for p in os.listdir('/proc') if p.isdigit())
    if len(alive) == 2: break
    time.sleep(0.01)
say(alive)
wait()`
    const kept = startKeep(sandbox, code, [], {}, ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'])
    const heard = (await kept.hear(3)) as [[number, number, number], [number, number, number], number[]]
    const [[first, parent], [second, again, stored], left] = heard
    assert.deepEqual([parent, again, stored, left], [1, 1, 1, [1, second]])
    assert.ok(second > first)
  })

  it('goes on when its terminal or log is gone', async () => {
    await using sandbox = new Sandbox()
    const kept = startKeep(sandbox, `say(os.getpid()); notify('READY=1'); wait()`)
    const [first] = (await kept.hear(1)) as [number]
    await kept.logs(/is ready/)
    kept.running.child.stderr?.destroy()
    kept.running.child.stdout?.destroy()
    process.kill(first, 'SIGKILL')
    await kept.hear(2)
    kept.running.child.kill('SIGTERM')
    assert.equal((await kept.running.ended).status, 0)
  })

  it('is found by its first word alone', async () => {
    await using sandbox = new Sandbox()
    const { status, stdout } = await sandbox.run(EXECUTABLE, ['keep', '--help'])
    assert.equal(status, 0)
    assert.match(stdout, /Usage: dummy-fuse-csi keep \[options\] <program> \[args\.\.\.\]/)
  })
})
