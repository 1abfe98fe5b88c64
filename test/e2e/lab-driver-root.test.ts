import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { PROBE } from '../../src/lab/consumer/probe.ts'
import type { Finding } from '../../src/lab/driver/findings.ts'
import { pidNamespace } from '../../src/os/processes/processes.ts'
import { peer, runDriver } from '../support/driver-run.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { schemaOf } from '../support/type-check.ts'
import { eventually } from '../support/wait.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

/** Writes outside of its state, and is alone there (test/peers/untidy-driver.ts). */
const UNTIDY = {
  name: 'untidy-driver',
  start: peer('untidy-driver', '{socket}'),
  socket: '/untidy/csi.sock',
  fuse: false,
  callTimeout: 60,
  watch: 2,
  volume: { id: 'some-volume' },
  file: 'file',
  content: 'content',
}

/** What the driver must not leave on the machine. */
const LEFT = ['/tmp/untidy.conf', '/var/cache/untidy', '/var/lib/untidy', '/mnt/untidy', '/untidy']

async function check(sandbox: Sandbox, file: object): Promise<Result & { readonly findings: readonly Finding[] }> {
  const path = join(sandbox.path, 'driver.yaml')
  writeFileSync(path, JSON.stringify(file))
  const result = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'check', '--json', path], { timeout: 120_000 })
  return { ...result, findings: (JSON.parse(result.stdout) as { findings: readonly Finding[] }).findings }
}

/** The environment in which a script of sh(1) is executed in place of a program. The script finds the program itself by its name. */
function inPlaceOf(sandbox: Sandbox, program: string, script: string): NodeJS.ProcessEnv {
  const folder = sandbox.directory('bin')
  writeFileSync(join(folder, program), `#!/bin/sh\nPATH=\${PATH#*:}\n${script}`, { mode: 0o755 })
  return { ...process.env, PATH: `${folder}:${process.env.PATH ?? ''}` }
}

describe('the node of a driver', () => {
  it('has a root and a network of its own: nothing reaches the machine or another cell, and the report lists what was written', async () => {
    await using sandbox = new Sandbox()
    const mine = join(sandbox.path, 'mine')
    writeFileSync(mine, '')
    const cells = [
      '--failure',
      'target-unmounted',
      '--mitigation',
      'as-is,consumers-exit',
      '--consumer',
      'opens-anew',
      '--jobs',
      '2',
    ]
    const file = {
      ...UNTIDY,
      volume: { id: 'some-volume', secrets: { key: 'MARKED-c0ffee-SECRET' } },
      env: { UNTIDY_DELETES: mine, UNTIDY_LOG: '/var/lib/untidy/own.log' },
      logs: ['/var/lib/untidy/*.log'],
      prepare: ': > /mnt/of-the-file',
    }
    const { record, markdown, report } = await runDriver(sandbox, file, cells)
    assert.deepEqual(problemsWith(record), [])
    assert.deepEqual([...LEFT, '/mnt/of-the-file'].filter(existsSync), [])
    assert.ok(existsSync(mine))
    // A driver that finds the file or the port of another one does not start.
    const all = [record.firstUse, ...record.cells]
    assert.deepEqual(
      all.map((cell) => cell?.verdict),
      ['measured', 'measured', 'measured'],
    )
    const blocks = Array.from({ length: 20 }, (_, index) => `/var/cache/untidy/block-${String(index).padStart(2, '0')}`)
    const wrote = [
      { path: '/mnt/untidy', kind: 'file', size: 0 },
      { path: mine, kind: 'deleted' },
      { path: '/tmp/untidy.conf', kind: 'file', size: 34 },
      ...blocks.map((path) => ({ path, kind: 'file', size: 1 })),
      { path: '/var/lib/untidy/own.log', kind: 'file', size: 'starts with MARKED-c0ffee-SECRET\n'.length },
    ].sort((a, b) => (a.path < b.path ? -1 : 1))
    for (const cell of all) assert.deepEqual(cell?.evidence.written, wrote)
    // Each cell has the driver's own log, without the secret.
    for (const cell of all) {
      const lane = cell?.lanes.find(({ title }) => title === '/var/lib/untidy/own.log')?.id
      const lines = cell?.evidence.logs.filter((line) => line.lane === lane).map(({ text }) => text)
      assert.deepEqual(lines, ['starts with ***stripped***'])
    }
    assert.match(markdown, /^\*\*Written outside of its state\*\*$/m)
    assert.ok(markdown.includes('/tmp/untidy.conf (file, 34 bytes; 3 cells)'))
    assert.ok(report.includes('/tmp/untidy.conf (file, 34 bytes; 3 cells)'))
    for (const text of [markdown, report]) {
      assert.ok(text.includes('12 more; the JSON record has them'))
      assert.ok(!text.includes('c0ffee'))
    }
  })

  it('shows a pod that it sits in a deleted folder, though a new one is at the same path', async () => {
    await using sandbox = new Sandbox()
    const cells = ['--failure', 'staging-unmounted', '--mitigation', 'as-is', '--consumer', 'starts-after']
    const { record, markdown } = await runDriver(sandbox, { ...UNTIDY, watch: 8 }, cells)
    assert.deepEqual(problemsWith(record), [])
    const [cell] = record.cells
    const [pod] = cell?.consumers ?? []
    assert.equal(pod?.seen, 'writes-to-host')
    assert.ok(pod.wroteToNode)
    assert.match(pod.deletedFolder ?? '', /\/driver-pv\/globalmount$/)
    assert.deepEqual(cell?.evidence.disk, [])
    assert.match(markdown, /1 consumer has a folder that was deleted: what is written there is lost\./)
  })

  it('shows what a pod writes into the bare folder of a mount that the driver has elsewhere', async () => {
    await using sandbox = new Sandbox()
    const at = '/var/lib/fuse-driver/volume'
    const file = {
      ...{ name: 'fuse-driver', start: peer('fuse-driver', '{socket}', DUMMY_FUSE), env: { FUSE_DRIVER_AT: at } },
      ...{ volume: { id: 'some-volume', staged: false }, callTimeout: 60, watch: 2 },
      ...{ file: 'dummy-file.txt', content: 'Hello world!\n' },
    }
    const cells = ['--failure', 'connection-aborted', '--mitigation', 'as-is', '--consumer', 'starts-after']
    const { record } = await runDriver(sandbox, file, cells)
    const [cell] = record.cells
    assert.equal(cell?.consumers[0]?.seen, 'writes-to-host')
    assert.deepEqual(cell.evidence.disk, [join(at, PROBE)])
    assert.deepEqual(cell.evidence.written, [{ path: at, kind: 'folder' }])
  })

  it('is refused where the kernel makes no overlay', async () => {
    await using sandbox = new Sandbox()
    const env = inPlaceOf(sandbox, 'mount', 'case $* in *overlay*) echo "no overlay" >&2; exit 32 ;; esac\nexec mount "$@"\n')
    const path = join(sandbox.path, 'driver.yaml')
    writeFileSync(path, JSON.stringify(UNTIDY))
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'check', path], { env, timeout: 60_000 })
    assert.equal(status, 1)
    assert.match(stderr, /the driver untidy-driver cannot be tried: no overlay.*needs an overlay of \/, .*\(modprobe overlay\)/)
  })

  /** The paths of the cgroups of a lab's nodes. The hierarchy may not be mounted here. */
  async function cgroupsOf(sandbox: Sandbox, pid: number): Promise<string> {
    const find = `mount -n -t cgroup2 cgroup2 /sys/fs/cgroup && find /sys/fs/cgroup -name 'dummy-fuse-lab-node-${pidNamespace()}-${pid}-*'`
    const { status, stdout, stderr } = await sandbox.run('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', find])
    // A cgroup may go while they are looked through.
    assert.ok(status === 0 || stderr.includes('No such file'), stderr)
    return stdout
  }

  it('has its cgroup removed when the lab is killed, and is refused before anything runs where there can be none', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'driver.yaml')
    writeFileSync(file, JSON.stringify({ ...UNTIDY, podCgroups: true }))
    const lab = sandbox.start(EXECUTABLE, ['lab', 'run', '--driver', file])
    const pid = lab.child.pid ?? 0
    await eventually('the node has a cgroup', async () => (await cgroupsOf(sandbox, pid)) !== '')
    lab.child.kill('SIGKILL')
    await lab.ended
    await eventually('the cgroup is gone', async () => (await cgroupsOf(sandbox, pid)) === '')

    const env = inPlaceOf(sandbox, 'mount', 'case $* in *cgroup2*) echo "read-only" >&2; exit 32 ;; esac\nexec mount "$@"\n')
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', file], { env, timeout: 60_000 })
    assert.equal(status, 1)
    assert.match(
      stderr,
      /untidy-driver cannot be tried: podCgroups: the lab cannot make cgroups of version 2 here: read-only; run it/,
    )
  })

  it('has its cgroup removed when the lab is killed at the moment when it is made', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'driver.yaml')
    writeFileSync(file, JSON.stringify({ ...UNTIDY, podCgroups: true }))
    // The name of the cgroup has the process id of the lab in it. When that is gone from /proc, the last of its threads has closed its descriptors.
    const script = `mkdir "$@" || exit
case $* in
  dummy-fuse-lab-node-*) lab=\${1#dummy-fuse-lab-node-*-}; lab=\${lab%%-*}
    kill -KILL "$lab"
    while [ -e "/proc/$lab" ]; do sleep 0.01; done ;;
esac
`
    const env = inPlaceOf(sandbox, 'mkdir', script)
    const lab = sandbox.start(EXECUTABLE, ['lab', 'run', '--driver', file], { env })
    const pid = lab.child.pid ?? 0
    assert.equal((await lab.ended).signal, 'SIGKILL')
    await eventually('the cgroup is gone', async () => (await cgroupsOf(sandbox, pid)) === '')
  })

  it('reaches the network of the machine only if the file says so, and the check says that it may have to', async () => {
    await using sandbox = new Sandbox()
    const server = createServer((connection) => connection.destroy())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const address = server.address()
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0
      const file = { ...UNTIDY, prepare: `exec 3<> /dev/tcp/127.0.0.1/${port}` }
      const alone = await check(sandbox, file)
      assert.equal(alone.status, 1)
      assert.deepEqual(
        alone.findings.map(({ about }) => about),
        ['file', 'file'],
      )
      assert.match(alone.findings[0]?.what ?? '', /^prepare: .*Connection refused/)
      assert.match(alone.findings[1]?.what ?? '', /network of its own; say network: host/)
      const host = await check(sandbox, { ...file, network: 'host' })
      assert.deepEqual(host.findings, [])
      assert.equal(host.status, 0)
    } finally {
      server.close()
    }
  })
})
