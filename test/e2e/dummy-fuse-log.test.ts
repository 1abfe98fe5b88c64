import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { deviceFolder, withDevices } from '../support/devices.ts'
import { daemonIn, mountDummyFuse } from '../support/mounting.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** What the journal does: binds a datagram socket and prints each message it gets. */
async function syslogAt(sandbox: Sandbox, path: string): Promise<Running> {
  const code = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(65536).decode(), flush=True)`
  const running = sandbox.start('python3', ['-c', code, path])
  await eventually('the socket is bound', () => running.output().includes('bound'))
  return running
}

describe('what a daemon in the background says', () => {
  it('goes to /dev/log, with the facility daemon, its name and its process id', async () => {
    await using sandbox = new Sandbox()
    const dev = await deviceFolder(sandbox, 'null', 'fuse')
    const syslog = await syslogAt(sandbox, `${dev}/log`)
    const path = sandbox.directory('mnt')
    const script = '"$0" "$1" && umount "$1"'
    const [file, args] = withDevices(dev, ['sh', '-c', script, DUMMY_FUSE, path])
    const { status, stderr } = await sandbox.run(file, args)
    assert.deepEqual([status, stderr], [0, ''])
    await eventually('the message has come', () => /^<30>dummy-fuse\[\d+\]: .* was unmounted\n/m.test(syslog.output()))
    assert.ok(syslog.output().includes(`]: ${path} was unmounted\n`), syslog.output())
  })

  it('does not keep it from ending when nobody reads /dev/log', async () => {
    await using sandbox = new Sandbox()
    const dev = await deviceFolder(sandbox, 'null', 'fuse')
    const code = `import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
c.setblocking(False)
try:
    while True: c.sendto(b'x', sys.argv[1])
except BlockingIOError: print('full', flush=True)
time.sleep(600)`
    const full = sandbox.start('python3', ['-c', code, `${dev}/log`])
    await eventually('the socket is full', () => full.output().includes('full'))
    const path = sandbox.directory('mnt')
    const [file, args] = withDevices(dev, ['sh', '-c', '"$0" "$1" && umount "$1"', DUMMY_FUSE, path])
    assert.equal((await sandbox.run(file, args)).status, 0)
    await eventually('the daemon is gone', () => sandbox.processes('dummy-fuse').length === 0)
  })

  it('goes to the file that --log-file names, after what is there', async () => {
    await using sandbox = new Sandbox()
    const file = `${sandbox.path}/log`
    for (const round of [1, 2]) {
      const path = await mountDummyFuse(sandbox, ['--log-file', file])
      await sandbox.run('umount', [path])
      await eventually('it has said so', () => linesOf(file).length === 2 * round)
    }
    const said = linesOf(file).map((line) => /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d .*\/mnt(.*)$/.exec(line)?.[1] ?? line)
    for (const [index, line] of said.entries())
      if (index % 2 === 1) assert.equal(line, ' was unmounted')
      else
        assert.match(
          line,
          /^: INIT negotiated: protocol 7\.\d+, flags [A-Z_|]*PARALLEL_DIROPS[A-Z_|]*, max_readahead \d+, max_write 4096, max_pages 32, max_background 0, congestion_threshold 0, time_gran 1$/,
        )
  })

  it('goes to a log file named from the working directory, which the daemon leaves', async () => {
    await using sandbox = new Sandbox()
    sandbox.directory('mnt')
    const { status } = await sandbox.run(DUMMY_FUSE, ['--log-file', 'log', `${sandbox.path}/mnt`], { cwd: sandbox.path })
    assert.equal(status, 0)
    process.kill(daemonIn(sandbox), 'SIGINT')
    await eventually('it has said so', () => /unmounted .* at SIGINT/.test(readFileSync(`${sandbox.path}/log`, 'utf8')))
  })

  for (const name of ['missing/log', '.']) {
    it(`is refused before anything is mounted when the log file cannot be written: ${name}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const { status, stderr } = await sandbox.run(DUMMY_FUSE, ['--log-file', `${sandbox.path}/${name}`, path])
      assert.equal(status, 1)
      assert.match(stderr, /^dummy-fuse: cannot write the log file [^\n]*: (no such file or directory|is a directory); [^\n]*\n$/)
      assert.deepEqual([sandbox.mounts(), sandbox.processes()], [[], []])
    })
  }
})

function linesOf(file: string): string[] {
  return readFileSync(file, 'utf8').split('\n').slice(0, -1)
}
