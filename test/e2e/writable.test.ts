import assert from 'node:assert/strict'
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { startHosted } from '../model/hosts.ts'
import { outcome } from '../support/csi-client.ts'
import { ephemeralContext, podTarget, publishEphemeral } from '../support/ephemeral.ts'
import { mountDummyFuse } from '../support/mounting.ts'
import { GREETING, mount } from '../support/mounts.ts'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { seedOf } from '../support/random.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

const COMPARE = join(ROOT, 'test/support/tree-compare.py')
const MIB = 1024 * 1024

/** Node has no name for it. */
const STALE = { errno: -constants.errno.ESTALE }

/** Operations of the comparison by chance. */
const OPERATIONS = 3000

const WRITER = mountCapability('SINGLE_NODE_WRITER', ['writable'])

async function mountWritable(sandbox: Sandbox, options = ''): Promise<string> {
  return await mountDummyFuse(sandbox, ['-o', `writable,allow_other${options}`])
}

/** A tmpfs and a writable mount, both empty. */
async function pair(sandbox: Sandbox): Promise<readonly [mine: string, reference: string]> {
  const mine = await mountWritable(sandbox)
  rmSync(join(mine, 'dummy-file.txt'))
  const reference = sandbox.directory('reference')
  mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', reference)
  // The cases have another user in them.
  await sandbox.run('chmod', ['755', sandbox.path])
  return [mine, reference]
}

function assertPassed({ status, stdout, stderr }: Result): void {
  assert.equal(status, 0, stdout + stderr)
}

/** A file of a mount that is held open. */
class HeldFile implements Disposable {
  readonly #fd: number

  constructor(path: string) {
    this.#fd = openSync(path, 'w+')
  }

  write(text: string): void {
    writeSync(this.#fd, text)
  }

  /** Up to `size` bytes from an offset on. */
  read(offset: number, size = 100): string {
    const bytes = Buffer.alloc(size)
    return bytes.toString('utf8', 0, readSync(this.#fd, bytes, 0, size, offset))
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

describe('-o writable does what tmpfs does', () => {
  it('in a table of cases', async () => {
    await using sandbox = new Sandbox()
    assertPassed(await sandbox.run('python3', [COMPARE, 'cases', ...(await pair(sandbox))], { timeout: 280_000 }))
  })

  it('in operations by chance', async (t) => {
    await using sandbox = new Sandbox()
    const seed = seedOf(process.env)
    const args = [COMPARE, 'random', ...(await pair(sandbox)), String(seed), String(OPERATIONS)]
    assertPassed(await sandbox.run('python3', args, { timeout: 280_000 }))
    t.diagnostic(`seed ${seed}`)
  })

  for (const [engine, direct] of [
    ['psync', 0],
    ['libaio', 1],
    ['mmap', 0],
  ] as const) {
    it(`fio finds what two of its processes wrote with ${engine}${direct === 1 ? ', past the page cache' : ''}`, async () => {
      await using sandbox = new Sandbox()
      const directory = await mountWritable(sandbox)
      const way = [`--ioengine=${engine}`, `--direct=${direct}`, '--rw=randwrite', '--bs=4k-64k', '--size=4m', '--numjobs=2']
      const args = [
        '--name=job',
        `--directory=${directory}`,
        ...way,
        '--verify=crc32c',
        '--do_verify=1',
        '--verify_fatal=1',
        '--verify_state_save=0',
      ]
      assertPassed(await sandbox.run('fio', args, { cwd: sandbox.path, timeout: 60_000 }))
    })
  }
})

void test('it begins with the file of the read-only tree, and belongs to whom uid=, gid= and umask= name', async () => {
  await using sandbox = new Sandbox()
  const path = await mountWritable(sandbox, ',uid=1000,gid=1001,umask=027')
  const file = join(path, 'dummy-file.txt')
  assert.equal(readFileSync(file, 'utf8'), GREETING)
  const of = (one: string): readonly number[] => {
    const { mode, uid, gid } = statSync(one)
    return [mode & 0o7777, uid, gid]
  }
  assert.deepEqual(
    [of(path), of(file)],
    [
      [0o750, 1000, 1001],
      [0o640, 1000, 1001],
    ],
  )
  writeFileSync(file, 'changed')
  await sandbox.run('chown', ['7:8', file])
  await sandbox.run('chmod', ['604', file])
  assert.deepEqual(of(file), [0o604, 7, 8])
  assert.equal(readFileSync(file, 'utf8'), 'changed')
})

void test('its size has an end, also for names; what is removed makes room, when nobody has it open any more', async () => {
  await using sandbox = new Sandbox()
  const path = await mountWritable(sandbox, ',size=1m')
  const before = statfsSync(path)
  assert.equal(before.blocks * before.bsize, MIB)
  assert.equal(statfsSync(await mountDummyFuse(sandbox, ['-o', 'writable'], 'standard')).blocks * before.bsize, 64 * MIB)
  const big = join(path, 'big')
  assert.throws(() => writeFileSync(big, Buffer.alloc(2 * MIB)), { code: 'ENOSPC' })
  assert.equal(statfsSync(path).bfree, 0)
  assert.equal(statSync(big).size, before.bfree * before.bsize, 'as much as there is room for')
  assert.throws(() => writeFileSync(join(path, 'other'), 'x'), { code: 'ENOSPC' })
  rmSync(join(path, 'other'))
  {
    const fd = openSync(big, 'r')
    rmSync(big)
    assert.equal(statfsSync(path).bfree, 0, 'a file that is open keeps its room')
    closeSync(fd)
  }
  // The kernel forgets a node a moment after its last use.
  const restored = async (): Promise<void> => {
    await eventually('all room is there again', () => {
      const { bfree, ffree } = statfsSync(path)
      return bfree === before.bfree && ffree === before.ffree
    })
  }
  await restored()
  const made = await sandbox.run('sh', ['-c', `cd ${path} && seq 2000 | xargs touch`])
  assert.notEqual(made.status, 0)
  assert.match(made.stderr, /No space left on device/)
  assert.equal(statfsSync(path).ffree, 0)
  for (const name of readdirSync(path)) if (name !== 'dummy-file.txt') rmSync(join(path, name))
  await restored()
})

void test('options that do not fit are refused by their names', async () => {
  await using sandbox = new Sandbox()
  const path = sandbox.directory('m')
  const rows: readonly (readonly [string[], RegExp])[] = [
    [['-o', 'size=1m'], /'size' is the size of a file system that can be written to; add writable/],
    [['-o', 'writable,size=1t'], /'size' needs a value, a number of bytes from 4096 to 4g/],
    [['-o', 'writable,size=4095'], /'size' needs a value/],
    [['-o', 'writable,size=5g'], /'size' needs a value/],
    [['-o', 'writable=yes'], /'writable' takes no value/],
    [['-o', 'writable', '--backend', 'fuse-native'], /'writable' is unknown to the backend fuse-native/],
  ]
  for (const [args, says] of rows) {
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['fuse', ...args, path])
    assert.equal(status, 2, stderr)
    assert.match(stderr, says)
  }
  await mountDummyFuse(sandbox, ['-o', 'size=8k', '-o', 'writable'])
})

void test('a volume is written to by all its consumers, unless its target is read-only; the status says where its contents are', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume', mountCapability('SINGLE_NODE_MULTI_WRITER', ['writable', 'size=1m']))
  await volume.stage()
  await volume.publish()
  const [second, reader] = [volume.another('second'), volume.another('reader')]
  await volume.publish(second)
  await volume.publish(reader, true)
  writeFileSync(join(volume.target, 'file'), 'from the first')
  assert.equal(readFileSync(join(second, 'file'), 'utf8'), 'from the first')
  assert.throws(() => writeFileSync(join(reader, 'file'), ''), { code: 'EROFS' })
  const { stdout } = await sandbox.run(EXECUTABLE, ['status', '--state-dir', plugin.stateDir])
  assert.ok(stdout.includes('  contents  in the memory of the daemon; they are lost when it ends\n'), stdout)
  // With the daemon.
  await plugin.kill()
  await plugin.restart()
  assert.deepEqual(readdirSync(volume.target), ['dummy-file.txt'])
  for (const target of [volume.target, second, reader]) await volume.unpublish(target)
  await volume.unstage()
  for (const mode of ['MULTI_NODE_MULTI_WRITER', 'MULTI_NODE_SINGLE_WRITER'] as const) {
    const { code, details } = await outcome(plugin.stage('other', volume.staging, mountCapability(mode, ['writable'])))
    assert.equal(code, 'FAILED_PRECONDITION')
    assert.match(details, /in the memory of one node/)
  }
  await plugin.stage('other', volume.staging, mountCapability('MULTI_NODE_MULTI_WRITER'))
  await plugin.unstage('other', volume.staging)
})

void test('a pod may have an inline ephemeral volume that it can write to, of 64m at the most', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const target = podTarget(sandbox, 'pod')
  const large = publishEphemeral(plugin, 'csi-1', target, ephemeralContext('pod', { mountOptions: 'writable,size=65m' }))
  const { code, details } = await outcome(large)
  assert.equal(code, 'INVALID_ARGUMENT')
  assert.match(details, /'size' to 64m at most/)
  await publishEphemeral(plugin, 'csi-1', target, ephemeralContext('pod', { mountOptions: 'writable,size=2m,allow_other' }))
  writeFileSync(join(target, 'file'), 'x')
  assert.equal(statfsSync(target).blocks * statfsSync(target).bsize, 2 * MIB)
  await plugin.unpublish('csi-1', target)
  assert.deepEqual(sandbox.mounts(), [])
})

describe('in dummy-fused', () => {
  it('contents outlive the plugin', async () => {
    await using sandbox = new Sandbox()
    const { plugin } = await startHosted('service', sandbox)
    using _ = plugin
    const volume = new Volume(sandbox, plugin, 'volume', WRITER)
    await volume.stage()
    await volume.publish()
    // At once: the thread that serves may still be starting.
    using held = new HeldFile(join(volume.target, 'file'))
    held.write('kept')
    await plugin.kill()
    await plugin.restart()
    assert.equal(held.read(0), 'kept')
    assert.deepEqual(readdirSync(volume.target).sort(), ['dummy-file.txt', 'file'])
  })

  it('a session that a successor takes over has lost its contents: ESTALE, and never those of another file', async () => {
    await using sandbox = new Sandbox()
    const { plugin, host } = await startHosted('service', sandbox)
    using _ = plugin
    const volume = new Volume(sandbox, plugin, 'volume', WRITER)
    await volume.stage()
    await volume.publish()
    const path = (name: string): string => join(volume.target, name)
    using first = new HeldFile(path('file'))
    first.write('of the first daemon')
    writeFileSync(path('dummy-file.txt'), 'changed')
    assert.ok(await host.killDaemon(volume.staging))
    assert.throws(() => first.read(1000), STALE)
    assert.throws(() => {
      first.write('more')
    }, STALE)
    assert.deepEqual(readdirSync(volume.target), [])
    assert.throws(() => readFileSync(path('dummy-file.txt')), { code: 'ENOENT' })
    using second = new HeldFile(path('file'))
    second.write('of the second daemon')
    // Its thread has come up meanwhile, or has not: it is the one that has the contents.
    assert.equal(readFileSync(path('file'), 'utf8'), 'of the second daemon')
    assert.throws(() => first.read(1000), STALE)
    assert.ok(await host.killDaemon(volume.staging))
    assert.throws(() => second.read(1000), STALE)
    writeFileSync(path('file'), 'of the third daemon')
    assert.throws(() => second.read(1000), STALE)
    assert.throws(() => first.read(1000), STALE)
    await volume.becomesWell()
    assert.equal(readFileSync(path('file'), 'utf8'), 'of the third daemon')
  })
})
