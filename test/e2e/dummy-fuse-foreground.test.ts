import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parseMountinfo, topmostAt } from '../../src/os/mounts/mountinfo.ts'
import { daemonIn, endOf, inForeground, mountCalled, mountDummyFuse, waitsForFuse } from '../support/mounting.ts'
import { layersAt } from '../support/mounts.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { python } from '../support/python.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** A program that holds the file open, reads it again at each line it is given and prints what came of it. */
async function holder(sandbox: Sandbox, path: string): Promise<Running> {
  const code = `import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
page = __import__('mmap').mmap(-1, 4096)
print('open', flush=True)
for line in sys.stdin:
    try: print(os.preadv(fd, [page], 0), flush=True)
    except OSError as error: print(error.strerror, flush=True)`
  const running = sandbox.start('python3', ['-c', code, `${path}/dummy-file.txt`])
  await eventually('the file is held open', () => running.output().includes('open\n'))
  return running
}

async function readBy(running: Running): Promise<string> {
  const before = running.output().length
  running.child.stdin?.write('\n')
  await eventually('the holder has read', () => running.output().includes('\n', before))
  return running.output().slice(before).trim()
}

describe('dummy-fuse -f', () => {
  for (const signal of SIGNALS) {
    it(`stays until ${signal}, unmounts and ends with 0, saying nothing`, async () => {
      await using sandbox = new Sandbox()
      const running = await inForeground(sandbox, sandbox.directory('mnt'))
      running.child.kill(signal)
      const { status, stdout, stderr } = await endOf(running)
      assert.deepEqual([status, stdout, stderr, sandbox.mounts()], [0, '', '', []])
    })

    it(`unmounts at ${signal} also while a file is held open, whose holder then gets ENOTCONN`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const running = await inForeground(sandbox, path)
      const reader = await holder(sandbox, path)
      assert.equal(await readBy(reader), '13')
      running.child.kill(signal)
      const { status } = await endOf(running)
      assert.deepEqual([status, sandbox.mounts()], [0, []])
      assert.equal(await readBy(reader), 'Transport endpoint is not connected')
    })
  }

  it('ends with 0 when it is unmounted', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const running = await inForeground(sandbox, path)
    await sandbox.run('umount', [path])
    const { status, stderr } = await endOf(running)
    assert.deepEqual([status, stderr], [0, ''])
  })

  it('goes on serving the holder of a file after a lazy unmount, and ends with 0 when it lets go', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const running = await inForeground(sandbox, path)
    const reader = await holder(sandbox, path)
    await sandbox.run('umount', ['-l', path])
    assert.equal(await readBy(reader), '13')
    reader.child.stdin?.end()
    await endOf(reader)
    assert.equal((await endOf(running)).status, 0)
  })

  it('goes on serving a bind of it after the original is unmounted', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const bind = sandbox.directory('bind')
    const running = await inForeground(sandbox, path)
    await sandbox.run('mount', ['--bind', path, bind])
    await sandbox.run('umount', [path])
    assert.deepEqual(await python(sandbox, bind, 'print(json.dumps(open(file).read()))'), 'Hello world!\n')
    await sandbox.run('umount', [bind])
    assert.equal((await endOf(running)).status, 0)
  })

  it('takes off binds of itself on its own mount point too, and nothing else that lies there', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const first = await inForeground(sandbox, path)
    await sandbox.run('mount', ['--bind', path, path])
    first.child.kill('SIGTERM')
    assert.equal((await endOf(first)).status, 0)
    assert.deepEqual(sandbox.mounts(), [])

    const second = await inForeground(sandbox, path)
    await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', path])
    second.child.kill('SIGTERM')
    assert.equal((await endOf(second)).status, 0)
    assert.equal(topmostAt(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), path)?.fsType, 'tmpfs')
  })

  it('serves though its caller has left it a descriptor of /dev/fuse', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const running = sandbox.start('sh', ['-c', 'exec "$0" -f "$1" 7<>/dev/fuse', DUMMY_FUSE, path])
    await eventually('it is mounted', () => sandbox.mounts().includes(path))
    assert.deepEqual(await python(sandbox, path, 'print(json.dumps(open(file).read()))'), 'Hello world!\n')
    running.child.kill('SIGTERM')
    assert.equal((await endOf(running)).status, 0)
  })

  it('ends with 12 when its connection is aborted, and says what to do', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const control = sandbox.directory('control')
    await sandbox.run('mount', ['-t', 'fusectl', 'fusectl', control])
    const running = await inForeground(sandbox, path)
    assert.deepEqual(await python(sandbox, path, 'print(json.dumps(os.listdir(path)))'), ['dummy-file.txt'])
    const device = topmostAt(parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')), path)?.device ?? ''
    writeFileSync(`${control}/${device.replace('0:', '')}/abort`, '1')
    const { status, stderr } = await endOf(running)
    assert.equal(status, 12)
    assert.match(stderr, /^[^\n]* was aborted[^\n]*\n$/)
    assert.ok(stderr.includes(`umount ${path}`), stderr)
    assert.ok(sandbox.mounts().includes(path))
  })

  it('gives up with 10 after --init-timeout and leaves nothing mounted', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    for (const fault of ['init-hang', 'mount-delay=60']) {
      const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['-f', '--inject', fault, '--init-timeout', '1', path])
      assert.deepEqual([status, stderr], [10, `dummy-fuse: ${path}: INIT was not handled within 1 s\n`])
      assert.deepEqual(sandbox.mounts(), [])
    }
  })

  it('ends with 0 and nothing mounted when it is told to before it has mounted', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const running = sandbox.start(DUMMY_FUSE, ['-f', '--inject', 'init-hang', path])
    await mountCalled(sandbox)
    running.child.kill('SIGTERM')
    assert.equal((await endOf(running)).status, 0)
    assert.deepEqual(sandbox.mounts(), [])
  })

  for (const args of [['-d'], ['-o', 'debug'], ['-df']]) {
    it(`stays and prints each request with ${args.join(' ')}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const running = sandbox.start(DUMMY_FUSE, [...args, path])
      await eventually('it has served INIT', () => /^FUSE session of protocol 7[^]*opcode: INIT/m.test(running.output()))
      // INIT is printed when it is read; the mount comes to its path once it is answered.
      await eventually('it is mounted', () => layersAt(path).length === 1)
      await sandbox.run('cat', [`${path}/dummy-file.txt`])
      await eventually('the read is in the output', () => running.output().includes('opcode: READ '))
      running.child.kill('SIGTERM')
      assert.equal((await endOf(running)).status, 0)
    })
  }
})

describe('--inject', () => {
  it('read-delay makes each read take longer, and several wait together', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox, ['--inject', 'read-delay=1'])
    const code = `import concurrent.futures, time
def read(_):
    start = time.monotonic()
    return os.pread(os.open(file, os.O_RDONLY), 100, 0).decode(), time.monotonic() - start
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    start = time.monotonic()
    outcomes = list(pool.map(read, range(8)))
    print(json.dumps([[text for text, _ in outcomes], min(t for _, t in outcomes) >= 0.95, time.monotonic() - start < 7.5]))`
    assert.deepEqual(await python(sandbox, path, code), [Array<string>(8).fill('Hello world!\n'), true, true])
  })

  it('read-delay leaves lookups and listings as they are', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox, ['--inject', 'read-delay=60'])
    assert.deepEqual(await python(sandbox, path, 'print(json.dumps([os.listdir(path), os.stat(file).st_size]))'), [
      ['dummy-file.txt'],
      13,
    ])
  })

  it('takes several faults', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['--inject', 'mount-delay=0.2', '--inject', 'mount-fail', path])
    assert.equal(status, 11)
    assert.match(stderr, /mount-fail/)
  })

  it('a daemon whose reader is being kept waiting still ends when told to', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox, ['--inject', 'read-delay=600'])
    const reader = sandbox.start('dd', ['iflag=direct', 'bs=4096', `if=${path}/dummy-file.txt`])
    await eventually('the reader waits', () => waitsForFuse(reader.pid))
    process.kill(daemonIn(sandbox), 'SIGTERM')
    await eventually('the daemon is gone', () => sandbox.processes('dummy-fuse').length === 0)
    assert.deepEqual(sandbox.mounts(), [])
    assert.match((await endOf(reader)).stderr, /Transport endpoint|connection abort/)
  })
})
