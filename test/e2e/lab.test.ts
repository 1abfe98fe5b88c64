import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { DRIVER_OFFER } from '../../src/lab/driver/matrix.ts'
import { CATALOGUE } from '../../src/lab/matrix/plan.ts'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { DEMONSTRATIONS, SCENARIOS } from '../../src/lab/scenarios/all.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const NAMES = SCENARIOS.map(({ name }) => name)
const DEAD = 'transport endpoint is not connected'
const TARGET = String.raw`/var/lib/kubelet/pods/[-0-9a-f]+/volumes/kubernetes\.io~csi/dummy-fuse-pv/mount`
const ESCAPE = String.fromCharCode(27)

describe('dummy-fuse-csi lab', () => {
  it('lists the scenarios, a line each, and what the matrix is made of', async () => {
    await using sandbox = new Sandbox()
    const { status, stdout } = await sandbox.run(EXECUTABLE, ['lab', 'list'])
    assert.equal(status, 0)
    const lines = stdout.split('\n').map((line) => line.trim().split(/\s{2,}/))
    for (const { name, summary } of SCENARIOS) assert.ok(lines.some((line) => line[0] === name && line[1] === summary))
    for (const part of ['failures', 'mitigations', 'consumers'] as const) {
      for (const [id, { title }] of Object.entries(CATALOGUE[part])) {
        assert.ok(
          lines.some((line) => line[0] === id && line[1] === title),
          id,
        )
      }
    }
    assert.match(stdout, /^ {2}daemon-upgraded +separate separate-shared service keep shield$/m)
    const driver = stdout.slice(stdout.indexOf('Failures of a driver of your own (lab run --driver):'))
    for (const { id, title } of [...DRIVER_OFFER.failures, ...DRIVER_OFFER.mitigations])
      assert.match(driver, new RegExp(`^ {2}${id} +${RegExp.escape(title)}( \\(where [^)]+\\))?$`, 'm'))
    assert.match(driver, /^ {2}health +Health watched \(where the driver implements NodeGetVolumeHealth\)$/m)
    assert.doesNotMatch(driver, /mount-late|daemon-upgraded/)
  })

  const WRONG: { name: string; args: string[]; says: RegExp }[] = [
    {
      name: 'a scenario that there is not',
      args: ['run', 'nothing'],
      says: new RegExp(`no scenario 'nothing'; there are ${NAMES.join(', ')}, demonstrations, blobfuse2, matrix `),
    },
    { name: 'a command that there is not', args: ['walk'], says: /no command 'walk'; there are list, run, report, mount, driver / },
    { name: 'no command', args: [], says: /no command given; there are list, run, report, mount, driver / },
    { name: 'an option that there is not', args: ['run', '--jsn', 'x'], says: /unknown option '--jsn'.*--json/ },
    {
      name: 'a failure that there is not',
      args: ['run', '--failure', 'fire'],
      says: /--failure: there is no 'fire'; there are plugin-killed, /,
    },
    {
      name: 'a failure that only a driver can have',
      args: ['run', '--failure', 'storage-down'],
      says: /--failure: there is no 'storage-down'; there are plugin-killed, /,
    },
    { name: 'no jobs', args: ['run', '--jobs', '0'], says: /whole number from 1 on/ },
    { name: 'the command for its own use', args: ['inside'], says: /inside is for the lab itself/ },
  ]
  for (const { name, args, says } of WRONG) {
    it(`ends with 2 and a line of what there is at ${name}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', ...args])
      assert.equal(status, 2)
      assert.match(stderr, says)
      assert.equal(stderr.trimEnd().split('\n').length, 1)
    })
  }

  const CANNOT: { name: string; prefix: string[]; says: RegExp }[] = [
    { name: 'who is not root', prefix: ['setpriv', '--reuid=65534', '--clear-groups', '--'], says: /the lab needs root/ },
    {
      name: 'without /dev/fuse',
      prefix: ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev && exec "$0" "$@"'],
      says: /the lab needs \/dev\/fuse: .*modprobe fuse/,
    },
  ]
  for (const { name, prefix, says } of CANNOT) {
    it(`ends with 3 and says what is missing to somebody ${name}`, async () => {
      await using sandbox = new Sandbox()
      const [file = '', ...args] = prefix
      const { status, stdout, stderr } = await sandbox.run(file, [...args, EXECUTABLE, 'lab', 'run'])
      assert.equal(status, 3, stderr)
      assert.equal(stdout, '')
      assert.match(stderr, says)
    })
  }
})

describe('dummy-fuse-csi lab run', () => {
  it('shows the three demonstrations, and writes what it saw', async () => {
    await using sandbox = new Sandbox()
    const json = join(sandbox.path, 'seen.json')
    const kubelet = existsSync('/var/lib/kubelet')
    const { status, stdout } = await sandbox.run(EXECUTABLE, ['lab', 'run', 'demonstrations', '--keep', '--json', json], {
      env: { ...process.env, TMPDIR: sandbox.directory('tmp') },
      timeout: 240_000,
    })
    assert.equal(status, 0, stdout)

    const [restart = '', restore = '', exitOnError = ''] = stdout.split(/^(?=== )/m)
    const mountLine = 'dummy-fuse on /mnt type fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0)'
    for (const part of [restart, restore, exitOnError]) {
      assert.match(part, /^\S+ \S+ \[ID:\d+\] GRPC call: \/csi\.v1\.Node\/NodeStageVolume$/m)
      assert.match(part, /^\S+ \S+ \[ID:\d+\] GRPC request: \{.*"volume_id":"dummy-fuse-volume".*\}$/m)
      assert.ok(
        part.includes(
          `] $ mount | grep /mnt ; ls -l /mnt\n${mountLine}\ntotal 0\n-r--r--r-- 1 root root 13 Jan  1  1970 dummy-file.txt\n`,
        ),
      )
      assert.match(part, /^\S+ \S+ opened file \/mnt\/dummy-file\.txt$/m)
      assert.match(part, /^\[node\] \$ kill -9 \d+$/m)
      assert.doesNotMatch(part, /✗/)
    }
    for (const part of [restart, restore]) {
      assert.ok(
        part.includes(
          `${mountLine}\nls: cannot access '/mnt': Transport endpoint is not connected\ncommand terminated with exit code 2\n`,
        ),
      )
    }
    assert.match(restart, new RegExp(String.raw`^\S+ \S+ reading\n\S+ \S+ read error: read /mnt/dummy-file\.txt: ${DEAD}$`, 'm'))
    assert.doesNotMatch(restart, /successfully remounted/)
    for (const part of [restore, exitOnError]) {
      assert.match(part, /^\S+ \S+ Attempting to re-mount volumes\n(?!.*No mount cache entries)/m)
      assert.match(part, new RegExp(`^\\S+ \\S+ successfully remounted ${TARGET} /var/lib/kubelet/plugins/\\S+/globalmount$`, 'm'))
    }
    assert.match(
      exitOnError,
      new RegExp(
        `^Warning +Failed +\\S+ +kubelet +Error: failed to generate container.*failed to stat "${TARGET}": stat ${TARGET}: ${DEAD}\\nNormal +Started`,
        'm',
      ),
    )

    const report = JSON.parse(readFileSync(json, 'utf8')) as LabRecord
    assert.equal(report.version, 6)
    assert.equal(report.passed, true)
    assert.deepEqual(
      report.scenarios.map(({ name, outcome }) => [name, outcome]),
      DEMONSTRATIONS.map(({ name }) => [name, 'as expected']),
    )
    const kept = /^kept in (.*)$/m.exec(stdout)?.[1] ?? ''
    assert.deepEqual(readdirSync(sandbox.directory('tmp')), [kept.split('/').at(-1)])
    for (const { name, checks, transcript, logs } of report.scenarios) {
      assert.ok(checks.length >= 10 && transcript.length >= 10)
      assert.ok(readFileSync(join(kept, name, 'transcript.txt'), 'utf8').includes(`== ${name} ==`))
      for (const [process, lines] of Object.entries(logs)) {
        assert.ok(lines.length > 3)
        assert.equal(readFileSync(join(kept, name, `${process}.log`), 'utf8'), lines.map(({ line }) => `${line}\n`).join(''))
      }
      assert.deepEqual(Object.keys(logs).slice(0, 1), ['plugin-1'])
    }
    assert.equal(existsSync('/var/lib/kubelet'), kubelet)
  })

  it('can run twice at the same time, in colour on a terminal unless NO_COLOR is set', async () => {
    await using sandbox = new Sandbox()
    const runs = ['', '1'].map((noColor, index) => {
      const env = { ...process.env, TERM: 'xterm', NO_COLOR: noColor, TMPDIR: sandbox.directory(`tmp-${index}`) }
      const args = ['-q', '-e', '-c', `${EXECUTABLE} lab run plugin-restart`, '/dev/null']
      return sandbox.start('script', args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    })
    const [coloured, plain] = await Promise.all(runs.map(({ ended }) => ended))
    assert.equal(coloured?.status, 0, coloured?.stdout)
    assert.equal(plain?.status, 0, plain?.stdout)
    assert.ok(coloured.stdout.includes(`${ESCAPE}[`))
    assert.ok(!plain.stdout.includes(ESCAPE))
  })
})

describe('a lab on another machine', () => {
  const PLACES: { name: string; prepare: string; executable: string }[] = [
    {
      name: 'whose /mnt is a mount that holds the executable',
      prepare: 'mount -t tmpfs none /mnt; touch /mnt/dummy-fuse-csi; mount --bind "$0" /mnt/dummy-fuse-csi',
      executable: '/mnt/dummy-fuse-csi',
    },
    {
      name: 'that is no node, with the executable in /var/lib',
      prepare: `mount -t tmpfs none /var/lib; cd /var/lib; mkdir 'a b'; ln -s 'a b' link; touch file 'a b/dummy-fuse-csi'
        mount --bind "$0" 'a b/dummy-fuse-csi'; cd /`,
      executable: '/var/lib/a b/dummy-fuse-csi',
    },
    {
      name: 'that is a node, with a shared root',
      prepare: 'mount --make-rshared /; mount -t tmpfs none /var/lib; mkdir -p /var/lib/kubelet/plugins; cd /',
      executable: EXECUTABLE,
    },
  ]
  for (const { name, prepare, executable } of PLACES) {
    it(`runs on one ${name}, and changes nothing there`, async () => {
      await using sandbox = new Sandbox()
      const look = 'ls -lAR /var/lib/kubelet 2>&1 || true; grep -E " /(var/lib|mnt)" /proc/self/mountinfo'
      const script = `set -e\n${prepare}\nbefore=$(${look})\n"$1" lab run plugin-restart\n[ "$before" = "$(${look})" ]`
      const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, EXECUTABLE, executable]
      const { status, stdout, stderr } = await sandbox.run('unshare', args, { timeout: 120_000 })
      assert.equal(status, 0, stdout + stderr)
    })
  }
})
