import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  DEAD_READS,
  daemonIn,
  deadMount,
  endOf,
  hungMount,
  killDaemonIn,
  mountDummyFuse,
  waitsForFuse,
} from '../support/mounting.ts'
import { WORKLOAD } from '../support/paths.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

const STAMP = /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d /

/** The lines so far, without the time that stands before each. */
function linesOf(running: Running): string[] {
  const lines = running.output().split('\n').slice(0, -1)
  for (const line of lines) assert.match(line, STAMP)
  return lines.map((line) => line.replace(STAMP, ''))
}

async function lines(running: Running, count: number): Promise<string[]> {
  await eventually(`it has printed ${count} lines: ${running.output()}`, () => linesOf(running).length >= count)
  return linesOf(running)
}

function start(sandbox: Sandbox, file: string, ...args: string[]): Running {
  return sandbox.start(WORKLOAD, ['--file', file, '--read-interval', '0.05', ...args])
}

/** The same, with its lines in a file: each is there for us as soon as it is written, as it would not be in a pipe that we have yet to read. */
function startIntoFile(sandbox: Sandbox, args: readonly string[]): Running {
  const log = join(sandbox.path, 'lines')
  const fd = openSync(log, 'w')
  try {
    const running = sandbox.start(WORKLOAD, args, { stdio: ['ignore', fd, fd] })
    return { ...running, output: () => readFileSync(log, 'utf8') }
  } finally {
    closeSync(fd)
  }
}

const [ENOTCONN] = DEAD_READS

describe('dummy-fuse-workload', { concurrency: 4 }, () => {
  it('opens once with --keep-open and goes on reading', async () => {
    await using sandbox = new Sandbox()
    const file = `${await mountDummyFuse(sandbox)}/dummy-file.txt`
    const seen = await lines(start(sandbox, file, '--keep-open'), 5)
    assert.deepEqual(seen.slice(0, 5), [`opened file ${file}`, 'reading', 'reading', 'reading', 'reading'])
  })

  it('opens for each read without --keep-open', async () => {
    await using sandbox = new Sandbox()
    const file = `${await mountDummyFuse(sandbox)}/dummy-file.txt`
    const seen = await lines(start(sandbox, file), 6)
    assert.deepEqual(seen.slice(0, 4), [`opened file ${file}`, 'reading', `opened file ${file}`, 'reading'])
  })

  const caches = {
    'the default options': [],
    'everything cached for a minute': ['-o', 'kernel_cache,attr_timeout=60,entry_timeout=60,ac_attr_timeout=60'],
    auto_cache: ['-o', 'auto_cache,attr_timeout=60,entry_timeout=60'],
    direct_io: ['-o', 'direct_io'],
  }
  for (const [title, options] of Object.entries(caches)) {
    for (const keepOpen of [[], ['--keep-open']]) {
      for (const interval of ['0.05', '0.5']) {
        it(`sees the daemon's death at the very next read: ${[title, ...keepOpen].join(' ')}, every ${interval} s`, async () => {
          await using sandbox = new Sandbox()
          const file = `${await mountDummyFuse(sandbox, options)}/dummy-file.txt`
          const running = startIntoFile(sandbox, ['--file', file, '--read-interval', interval, ...keepOpen])
          await lines(running, 6)
          await killDaemonIn(sandbox)
          const before = linesOf(running).length
          const after = (await lines(running, before + 7)).slice(before)
          // One that was under way when the daemon died may have been logged as opened, as begun, and as done.
          const first = after.findIndex((line) => line.startsWith('read error'))
          assert.ok(first >= 0 && first <= (after[0] === `opened file ${file}` ? 2 : 1), after.join('\n'))
          const failure = ['reading', `read error: read ${file}: ${ENOTCONN}`]
          assert.deepEqual(after.slice(first + 1, first + 5), [...failure, ...failure])
        })
      }
    }
  }

  it('recovers by itself when the file system is mounted anew, without --keep-open', async () => {
    await using sandbox = new Sandbox()
    const path = await deadMount(sandbox)
    const file = `${path}/dummy-file.txt`
    const running = start(sandbox, file)
    await lines(running, 4)
    await sandbox.run('umount', [path])
    await mountDummyFuse(sandbox)
    await eventually('it reads again', () => running.output().includes(`opened file ${file}`))
    const before = linesOf(running).length
    assert.ok(!(await lines(running, before + 4)).slice(before).some((line) => line.includes('error')))
  })

  it('stays with the dead descriptor when the file system is mounted anew, with --keep-open', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    const file = `${path}/dummy-file.txt`
    const running = start(sandbox, file, '--keep-open')
    await lines(running, 3)
    process.kill(daemonIn(sandbox), 'SIGKILL')
    await sandbox.run('umount', ['-l', path])
    await mountDummyFuse(sandbox)
    const before = linesOf(running).length
    const after = (await lines(running, before + 6)).slice(before)
    assert.ok(after.includes(`read error: read ${file}: ${ENOTCONN}`))
    assert.ok(!after.some((line) => line.startsWith('opened')))
  })

  it('ends with 1 at the first failure with --exit-on-error', async () => {
    await using sandbox = new Sandbox()
    const file = `${await mountDummyFuse(sandbox)}/dummy-file.txt`
    const running = start(sandbox, file, '--exit-on-error', '--keep-open')
    await lines(running, 3)
    process.kill(daemonIn(sandbox), 'SIGKILL')
    assert.equal((await endOf(running)).status, 1)
    const seen = linesOf(running)
    const ends = DEAD_READS.map((why) => `read error: read ${file}: ${why}`)
    assert.ok(ends.includes(seen.at(-1) ?? ''), seen.join('\n'))
    assert.equal(seen.filter((line) => line.includes('error')).length, 1)
  })

  it('ends with 1 at once with --exit-on-error on a mount that is dead already', async () => {
    await using sandbox = new Sandbox()
    const file = `${await deadMount(sandbox)}/dummy-file.txt`
    const running = start(sandbox, file, '--exit-on-error')
    assert.equal((await endOf(running)).status, 1)
    assert.deepEqual(linesOf(running), ['reading', `read error: read ${file}: ${ENOTCONN}`])
  })

  it('waits for a file that is missing at first', async () => {
    await using sandbox = new Sandbox()
    const file = `${sandbox.path}/later`
    const running = start(sandbox, file, '--keep-open')
    const failed = await lines(running, 4)
    assert.deepEqual(failed.slice(0, 2), ['reading', `read error: read ${file}: no such file or directory`])
    writeFileSync(file, 'here')
    await eventually('it has opened it', () => running.output().includes(`opened file ${file}\n`))
    const before = linesOf(running).length
    assert.deepEqual((await lines(running, before + 3)).slice(before, before + 3), ['reading', 'reading', 'reading'])
  })

  for (const [title, content] of Object.entries({
    'an empty file': '',
    'a short file': 'text',
    'a file of many pages': 'x'.repeat(1_000_001),
  })) {
    for (const type of ['tmpfs', 'disk']) {
      it(`reads ${title} on ${type}, one line for each read`, async () => {
        await using sandbox = new Sandbox()
        const folder = sandbox.directory('mnt')
        if (type === 'tmpfs') await sandbox.run('mount', ['-t', 'tmpfs', 'tmpfs', folder])
        writeFileSync(`${folder}/file`, content)
        const seen = await lines(start(sandbox, `${folder}/file`), 6)
        const round = [`opened file ${folder}/file`, 'reading']
        assert.deepEqual(seen.slice(0, 6), [...round, ...round, ...round])
      })
    }
  }

  it('says of a directory that it is one', async () => {
    await using sandbox = new Sandbox()
    mkdirSync(`${sandbox.path}/folder`)
    const { status, stderr } = await sandbox.run(WORKLOAD, ['--file', `${sandbox.path}/folder`, '--exit-on-error'])
    assert.equal(status, 1)
    assert.match(stderr, /read error: read .*\/folder: is a directory\n$/)
  })

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`ends at ${signal}, by that signal`, async () => {
      await using sandbox = new Sandbox()
      const running = start(sandbox, `${await mountDummyFuse(sandbox)}/dummy-file.txt`)
      await lines(running, 2)
      running.child.kill(signal)
      assert.equal((await endOf(running)).signal, signal)
    })

    it(`ends at ${signal} also while it waits for a hung file system`, async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      const running = start(sandbox, `${path}/dummy-file.txt`)
      await lines(running, 6)
      // A request that the daemon has read and not answered is waited for whatever signal comes: none is under way while the reader is stopped.
      await stop(running.pid)
      await stop(daemonIn(sandbox))
      running.child.kill('SIGCONT')
      await eventually('it waits in the kernel', () => waitsForFuse(running.pid))
      running.child.kill(signal)
      assert.equal((await endOf(running)).signal, signal)
    })

    // The kernel asks the file system at the close of a descriptor (FLUSH), and no signal ends that wait (fs/fuse/file.c, fuse_flush).
    it(`ends at ${signal} while it holds a file of a hung file system when the daemon is gone`, async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox)
      const running = start(sandbox, `${path}/dummy-file.txt`, '--keep-open')
      await lines(running, 6)
      const daemon = daemonIn(sandbox)
      await stop(daemon)
      await eventually('it waits in the kernel', () => waitsForFuse(running.pid))
      running.child.kill(signal)
      process.kill(daemon, 'SIGKILL')
      assert.equal((await endOf(running)).signal, signal)
    })
  }

  it('ends at SIGTERM when it is started on a hung file system', async () => {
    await using sandbox = new Sandbox()
    const running = start(sandbox, `${await hungMount(sandbox)}/dummy-file.txt`)
    await eventually('it waits in the kernel', () => waitsForFuse(running.pid))
    running.child.kill('SIGTERM')
    assert.equal((await endOf(running)).signal, 'SIGTERM')
  })

  const wrong: Readonly<Record<string, readonly [args: readonly string[], said: RegExp]>> = {
    'no file': [[], /--file/],
    'an interval that is no number': [['--file', 'f', '--read-interval', 'often'], /--read-interval/],
    'a negative interval': [['--file', 'f', '--read-interval', '-1'], /--read-interval/],
    'an unknown option': [['--file', 'f', '--write'], /unknown option '--write'; there are .*--file <file>/],
    'a word too many': [['--file', 'f', 'g'], /too many arguments/],
  }
  for (const [title, [args, said]] of Object.entries(wrong)) {
    it(`exits with 2 and one line for ${title}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await sandbox.run(WORKLOAD, args)
      assert.equal(status, 2)
      assert.match(stderr, /^dummy-fuse-workload: [^\n]+\n$/)
      assert.match(stderr, said)
    })
  }
})
