import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { PYTHON, startKeep, stranger } from '../support/kept.ts'
import { daemonIn, mountDummyFuse, waitsForFuse } from '../support/mounting.ts'
import { descriptorsOf, Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

/** The program's first life stores, the others only say what they were given. */
const once = (code: string): string => `
say(names())
if not listen() and not os.path.exists(folder + '/done'):
    open(folder + '/done', 'w').close()
${code
  .split('\n')
  .map((line) => `    ${line}`)
  .join('\n')}
    barrier()
notify('READY=1')
say('ready')
wait()`

/** Has the program stored and killed once; gives the names that the next life was given. */
async function storedBy(code: string, options: readonly string[] = []): Promise<{ names: unknown; log: string }> {
  await using sandbox = new Sandbox()
  const kept = startKeep(sandbox, once(code), options)
  await kept.hear(2)
  process.kill(await kept.program(), 'SIGKILL')
  const [, , names] = await kept.hear(4)
  return { names, log: kept.running.output() }
}

/** Descriptors whose close(2) hangs: more than libuv's pool has threads. */
const HUNG = 6

describe("keep's store", () => {
  it('goes on while descriptors that it lets go of cannot be closed, because their file system hangs', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    const code = `
fds = [os.open('${path}/dummy-file.txt', os.O_RDONLY) for _ in range(${HUNG * 2})]
for n, fd in enumerate(fds[:${HUNG}]): store('f%d' % n, fd)
barrier()
notify('READY=1')
say('stored')
while not os.path.exists(folder + '/hung'): time.sleep(0.01)
for n in range(${HUNG}): notify('FDSTOREREMOVE=1' + chr(10) + 'FDNAME=f%d' % n)
for fd in fds[${HUNG}:]: notify('STATUS=no store', [fd])
barrier()
say('let go')
time.sleep(0.1)
barrier()
store('after', os.memfd_create('after'))
barrier()
say('goes on')
wait()`
    const kept = startKeep(sandbox, code)
    await kept.hear(1)
    await stop(daemonIn(sandbox))
    writeFileSync(join(sandbox.path, 'hung'), '')
    assert.deepEqual(await kept.hear(3), ['stored', 'let go', 'goes on'])
    const files = (): number => descriptorsOf(kept.running.pid).filter(({ target }) => target.startsWith(path)).length
    process.kill(daemonIn(sandbox), 'SIGCONT')
    await eventually('they are closed once the file system answers', () => files() === 0)
  })

  it('hands descriptors over through twenty kills, with what is in them', async () => {
    await using sandbox = new Sandbox()
    const code = `
held = dict(listen())
if not held:
    held = {'memory': os.memfd_create('memory')}
    r, held['write end'] = os.pipe()
    held['read end'] = r
    a, b = socket.socketpair()
    held['socket'] = a.fileno()
    b.sendall(b'from the other end')
    for name, fd in held.items(): store(name, fd)
    store('other', b.fileno())
    barrier()
text = os.pread(held['memory'], 1000, 0)
os.pwrite(held['memory'], b'x', len(text))
os.write(held['write end'], b'%d,' % len(text))
piped = os.read(held['read end'], 1000)
os.write(held['write end'], piped)
peeked = socket.socket(fileno=held['socket']).recv(100, socket.MSG_PEEK)
notify('READY=1')
say([names(), len(text), piped.decode(), peeked.decode()])
wait()`
    const kept = startKeep(sandbox, code)
    const names = ['memory', 'write end', 'read end', 'socket', 'other']
    let bytes = ''
    for (let life = 0; life <= 20; life++) {
      bytes += `${life},`
      const all = await kept.hear(life + 1)
      assert.deepEqual(all[life], [life === 0 ? [] : names, life, bytes, 'from the other end'])
      if (life < 20) process.kill(await kept.program(), 'SIGKILL')
    }
    assert.equal(kept.said().length, 21)
  })

  it('takes what was sent in the last moment before the death', async () => {
    await using sandbox = new Sandbox()
    const code = `
say(names())
if len(listen()) < 10:
    notify('READY=1')
    store('n%d' % len(listen()), os.memfd_create('m'))
    os.kill(os.getpid(), 9)
wait()`
    const kept = startKeep(sandbox, code)
    const all = (await kept.hear(11)) as string[][]
    assert.deepEqual(
      all.map(({ length }) => length),
      [...Array(11).keys()],
    )
    assert.doesNotMatch(kept.running.output(), /again in/)
  })

  it('gives every descriptor of one message its name, and a name that cannot be handed over as `stored`', async () => {
    const { names, log } = await storedBy(`
store('two of one', os.memfd_create('a'), os.memfd_create('b'))
store(None, os.memfd_create('c'))
store('a:b', os.memfd_create('d'))
store('tab' + chr(9), os.memfd_create('e'))
store('x' * 256, os.memfd_create('f'))
store('', os.memfd_create('g'))
store('ü', os.memfd_create('h'))
store('y' * 255, os.memfd_create('i'))`)
    assert.deepEqual(names, ['two of one', 'two of one', ...Array<string>(6).fill('stored'), 'y'.repeat(255)])
    assert.equal(log.match(/FDNAME is no name of a descriptor/g)?.length, 5)
  })

  it('keeps an open file once, however often it comes and under whatever name, and another opening of the file again', async () => {
    const { names } = await storedBy(`
fd = os.open('/dev/null', os.O_RDWR)
store('first', fd)
store('first', os.dup(fd), fd)
store('second', fd)
store('third', os.open('/dev/null', os.O_RDWR))`)
    assert.deepEqual(names, ['first', 'third'])
  })

  it('lets go of all that has a name', async () => {
    const { names } = await storedBy(`
store('a', os.memfd_create('a'), os.memfd_create('b'))
store('b', os.memfd_create('c'))
store('a', os.memfd_create('d'))
notify('FDSTOREREMOVE=1' + chr(10) + 'FDNAME=a')
notify('FDSTOREREMOVE=1' + chr(10) + 'FDNAME=never')
notify('FDSTOREREMOVE=1')
store('a', os.memfd_create('e'))`)
    assert.deepEqual(names, ['b', 'a'])
  })

  it('drops what has hung up, but with FDPOLL=0', async () => {
    const { names, log } = await storedBy(`
def half():
    r, w = os.pipe()
    os.close(r)
    return w
store('polled', half())
store('not polled', half(), more='FDPOLL=0')
r, w = os.pipe()
store('alive', w)
store('its other end', r)
os.close(w)
# A device that is no mount's yet shows an error, as that of an aborted connection does.
store('unmounted', os.open('/dev/fuse', os.O_RDWR))
store('file', os.open(folder + '/done', os.O_RDONLY))`)
    assert.deepEqual(names, ['not polled', 'alive', 'its other end', 'file'])
    assert.match(log, /hung up: polled, unmounted\n/)
  })

  it('holds no more than --store-max, having made room by what has hung up', async () => {
    const { names, log } = await storedBy(
      `
r, w = os.pipe()
store('hung up', w)
store('1', os.memfd_create('1'))
barrier()
os.close(r)
store('2', os.memfd_create('2'))
store('3', os.memfd_create('3'))`,
      ['--store-max', '2'],
    )
    assert.deepEqual(names, ['1', '2'])
    assert.match(log, /closed one named 3 \(--store-max\)/)
  })

  it('has room for the longest names that exec(2) takes, and stays able to start the program', async () => {
    const { names, log } = await storedBy(`
for i in range(600): store('%0255d' % i, os.memfd_create('m'))`)
    assert.equal((names as string[]).length, 496)
    assert.match(log, /no room for another name in LISTEN_FDNAMES/)
  })

  it('closes the pipe of a barrier once all before it is handled', async () => {
    const { names } = await storedBy(`
for i in range(50):
    store('n%d' % i, os.memfd_create('m'))
    if i % 10 == 9: barrier()`)
    assert.deepEqual(
      names,
      [...Array(50).keys()].map((n) => `n${n}`),
    )
  })

  it('stores nothing of, and closes what comes with, a message that is malformed or of somebody else', async () => {
    await using sandbox = new Sandbox()
    const code = `
say(os.environ['NOTIFY_SOCKET'])
notify('READY=1')
barrier()
say('ready')
if not listen():
    fds = [os.memfd_create('m') for _ in range(253)]
    for text in (b'', b'no assignment', b'FDSTORE=1\\0READY=1', b'FDSTORE=1' + b'\\n' * 4096, b'\\xff\\xfe\\n=1', b'STATUS=\\xff', b'MAINPID=x\\nWATCHDOG_USEC=-1'):
        notify(text, fds)
    notify('STATUS=' + 'x' * 5000, fds)
    notify('FDSTORE=1\\nFDSTOREREMOVE=1\\nFDNAME=stored', fds)
    store('good', fds[0])
    barrier()
    say('sent')
wait()`
    const kept = startKeep(sandbox, code)
    const [address] = (await kept.hear(2)) as [string]
    await kept.hear(3)
    const open = (): number => descriptorsOf(kept.running.pid).length
    // Closing is left to a thread.
    const before = await eventually(
      'one descriptor is held',
      () => descriptorsOf(kept.running.pid).filter(({ target }) => target.includes('memfd:m ')).length === 1 && open(),
    )
    for (const text of ['STATUS=hello', 'FDSTORE=1\\nFDNAME=bad', 'READY=1', 'MAINPID=1', 'FDSTOREREMOVE=1\\nFDNAME=good']) {
      await stranger(sandbox, `notify('${text}', [os.memfd_create('m')], chr(0) + '${address.slice(1)}')`)
    }
    await eventually('they are read', () => (kept.running.output().match(/not one of the program’s/g) ?? []).length === 5)
    // keep closes descriptors in a thread.
    await eventually('what came along is closed', () => open() === before)
    for (const reason of [
      'it is empty',
      'contains no assignment',
      'NUL',
      'longer than 4096',
      'STATUS is not UTF-8',
      'MAINPID is no valid number',
      'WATCHDOG_USEC is no valid number',
    ])
      assert.ok(kept.running.output().includes(reason), reason)
    assert.doesNotMatch(kept.running.output(), /hello/)
    process.kill(await kept.program(), 'SIGKILL')
    await kept.hear(5)
    assert.match(kept.running.output(), /with 1 descriptors/)
  })

  it('bears any bytes with any descriptors, and holds none of them twice afterwards', async () => {
    await using sandbox = new Sandbox()
    const code = `
import random
if os.path.exists(folder + '/done'): wait()
open(folder + '/done', 'w').close()
seed = random.randrange(2**32)
say('seed %d' % seed)
random.seed(seed)
r, w = os.pipe()
m = [os.memfd_create('m') for _ in range(4)] + [r, w]
words = [b'READY=1', b'FDSTORE=1', b'FDNAME=a', b'FDNAME=', b'FDSTOREREMOVE=1', b'FDPOLL=0', b'STATUS=', b'BARRIER=1', b'WATCHDOG_USEC=0\\n',
    b'MAINPID=-', b'EXTEND_TIMEOUT_USEC=9', b'STOPPING=2', b'\\n', b'\\n', b'\\n', b'=', b'\\0', b'\\xff']
for _ in range(1500):
    text = b''.join(random.choices(words, k=random.randrange(8))) + random.randbytes(random.choice((0, 0, 0, 3, 5000)))
    notify(text, random.choices(m, k=random.choice((0, 0, 1, 2, 253))))
barrier()
notify('READY=1' + chr(10) + 'STATUS=survived')
for fd in m: os.close(fd)
wait()`
    const kept = startKeep(sandbox, code)
    const program = await kept.program()
    await kept.logs(/: survived/)
    await eventually(`it holds each at most once (${String(kept.said()[0])})`, () => {
      const held = descriptorsOf(kept.running.pid).filter(({ target }) => target.includes('memfd:m '))
      return held.length <= 4 && descriptorsOf(kept.running.pid).length < 50
    })
    assert.equal(await kept.program(), program)
    assert.match(kept.running.output(), /[1-9]\d* lines like the following|ignored a message/)
  })

  it('holds no more than its limit of open files allows, and stays able to start the program', async () => {
    await using sandbox = new Sandbox()
    const code = `
say(len(listen()))
if not listen():
    notify('FDSTORE=1', [os.memfd_create('m')] * 200)
    barrier()
    # keep closes what it does not store in threads. Until they have run there is no room for what comes next.
    while len(os.listdir('/proc/%d/fd' % os.getppid())) > 100: time.sleep(0.01)
    for i in range(40): notify('FDSTORE=1', [os.memfd_create('m')])
    barrier()
notify('READY=1')
wait()`
    const kept = startKeep(sandbox, code, [], {}, ['prlimit', '--nofile=150:150'])
    await kept.logs(/holds at most 11 descriptors[^]*is ready/)
    await kept.logs(/some of its descriptors were lost/)
    process.kill(await kept.program(), 'SIGKILL')
    assert.deepEqual(await kept.hear(2), [0, 11])
  })

  it('lets go of everything when no successor is ready by the deadline, says which, and starts the program without', async () => {
    await using sandbox = new Sandbox()
    const code = `
say(names())
if not os.path.exists(folder + '/done'):
    open(folder + '/done', 'w').close()
    r, w = os.pipe()
    store('pipe', w, more='FDPOLL=0')
    store('memory', os.memfd_create('m'))
    barrier()
    notify('READY=1')
    wait()
if listen(): sys.exit(1)
notify('READY=1')
wait()`
    const kept = startKeep(sandbox, code, ['--takeover-deadline', '5'])
    await kept.logs(/is ready/)
    process.kill(await kept.program(), 'SIGKILL')
    await kept.logs(/no successor was ready within 5 s: closed 2 descriptors: pipe, memory; /)
    await kept.logs(/closed[^]*with 0 descriptors\n.*is ready/)
    const all = kept.said()
    assert.deepEqual([all[0], all[1], all.at(-1)], [[], ['pipe', 'memory'], []])
  })

  it('kills a successor that hangs with the descriptors, so that nobody holds them any more', async () => {
    await using sandbox = new Sandbox()
    const code = `
say(names())
if listen(): wait()
if not os.path.exists(folder + '/done'):
    open(folder + '/done', 'w').close()
    store('memory', os.memfd_create('m'))
    barrier()
notify('READY=1')
wait()`
    const kept = startKeep(sandbox, code, ['--takeover-deadline', '5'])
    await kept.logs(/is ready/)
    process.kill(await kept.program(), 'SIGKILL')
    await kept.logs(/closed 1 descriptor: memory[^]*was not ready in time: SIGKILL/)
    assert.deepEqual(await kept.hear(3), [[], ['memory'], []])
    await kept.logs(/closed[^]*with 0 descriptors\n.*is ready/)
  })

  for (const [title, successor] of [
    ['ends before it is ready', 'sys.exit(1)'],
    ['hangs', 'wait()'],
  ] as const) {
    it(`lets no reader of a mount wait longer than the deadline, when the successor ${title}`, async () => {
      await using sandbox = new Sandbox()
      const code = `
import ctypes, struct
if listen(): ${successor}
mount = folder + '/mnt'
if not os.path.exists(folder + '/done'):
    open(folder + '/done', 'w').close()
    os.mkdir(mount)
    fd = os.open('/dev/fuse', os.O_RDWR)
    options = b'fd=%d,rootmode=40000,user_id=0,group_id=0' % fd
    assert ctypes.CDLL(None).mount(b'keep-test', mount.encode(), b'fuse', 6, options) == 0
    [unique] = struct.unpack_from('<Q', os.read(fd, 1 << 20), 8)
    # struct fuse_out_header and struct fuse_init_out, include/uapi/linux/fuse.h
    os.write(fd, struct.pack('<IiQ', 80, 0, unique) + struct.pack('<IIIIHHIIHHI28x', 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0))
    store('session', fd)
    barrier()
notify('READY=1')
wait()`
      const kept = startKeep(sandbox, code, ['--takeover-deadline', '2'])
      await kept.logs(/is ready/)
      // The first waits, and is told of its end; the second comes after it.
      const ask = `
import os, sys
for _ in range(2):
    try: os.statvfs(sys.argv[1])
    except OSError as error: print(error.strerror)`
      const reader = sandbox.start(PYTHON, ['-c', ask, join(sandbox.path, 'mnt')])
      await eventually('the reader waits', () => waitsForFuse(reader.pid))
      process.kill(await kept.program(), 'SIGKILL')
      await kept.logs(/closed 1 descriptor: session; /)
      assert.equal((await reader.ended).stdout, 'Software caused connection abort\nTransport endpoint is not connected\n')
      await kept.logs(/closed[^]*with 0 descriptors\n.*is ready/)
      assert.deepEqual(sandbox.mounts(), [join(sandbox.path, 'mnt')])
    })
  }
})
