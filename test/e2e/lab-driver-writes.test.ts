import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { AcknowledgedWrites, Cell } from '../../src/lab/matrix/lab-record.ts'
import { compileC } from '../support/compile.ts'
import { type DriverRun, peer, runDriver } from '../support/driver-run.ts'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

/** A driver whose volumes are served by test/peers/fuse-server.c, with its storage as a helper. `writes`: how it writes; read-only if it is left out. */
async function storing(writes?: string): Promise<object> {
  const server = await compileC(join(ROOT, 'test/peers/fuse-server.c'))
  const socket = '{state}/storage.sock'
  return {
    name: 'fuse-driver',
    start: peer('fuse-driver', '{socket}', server, 'daemonises', 'served'),
    daemon: 'served',
    env: {
      FUSE_SERVER_STORE: '{state}/store',
      FUSE_SERVER_STORAGE: socket,
      ...(writes === undefined ? {} : { FUSE_SERVER_WRITES: writes }),
    },
    helpers: [
      { name: 'storage', command: [server, 'storage', socket], ready: `${server} ask ${socket}`, belongs: 'node', storage: true },
    ],
    prepare: 'mkdir {state}/store',
    stored: '{state}/store',
    callTimeout: 60,
    watch: 5,
    volume: { id: 'some-volume', staged: false },
    file: 'dummy-file.txt',
    content: 'Hello world!\n',
  }
}

async function run(sandbox: Sandbox, writes: string, failures: string): Promise<DriverRun> {
  const cells = ['--failure', failures, '--mitigation', 'as-is', '--consumer', 'writes']
  return await runDriver(sandbox, await storing(writes), cells)
}

/** What came of the writer in a cell, and of its records by their acknowledgement. */
function outcomeOf({ failure, consumers, verdict, why }: Cell): {
  readonly seen: string
  readonly ways: Readonly<Record<string, AcknowledgedWrites>>
} {
  const [writer] = consumers
  assert.ok(verdict === 'measured' && writer?.writes !== undefined && consumers.length === 1, `${failure}: ${why ?? ''}`)
  const { ways, notReadBack } = writer.writes
  assert.equal(notReadBack, undefined)
  assert.deepEqual(
    ways.map(({ by }) => by),
    ['write', 'fsync', 'close'],
  )
  for (const { by, acknowledged } of ways) assert.ok(acknowledged > 0, `${failure}, ${by}: ${acknowledged}`)
  return { seen: writer.seen, ways: Object.fromEntries(ways.map((way) => [way.by, way])) }
}

/** The ways whose records were lost. */
function losing(ways: Readonly<Record<string, AcknowledgedWrites>>): readonly string[] {
  return Object.values(ways)
    .filter(({ lost }) => lost > 0)
    .map(({ by }) => by)
}

describe('a consumer that writes while the storage goes away', { concurrency: true }, () => {
  it('waits, and loses nothing, where the driver waits for its storage', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown } = await run(sandbox, 'keeps', 'storage-hung,storage-down')
    assert.ok(record.firstUse !== undefined && record.cells.length === 2)
    assert.deepEqual(losing(outcomeOf(record.firstUse).ways), [])
    for (const cell of record.cells) {
      const { seen, ways } = outcomeOf(cell)
      assert.equal(seen, 'waits')
      assert.deepEqual(losing(ways), [])
      assert.ok(Math.max(...Object.values(ways).map(({ longestMs }) => longestMs)) >= 2000)
      for (const { by, refused, notInStorage } of Object.values(ways)) assert.deepEqual([refused, notInStorage], [{}, 0], by)
    }
    assert.match(markdown, /No acknowledged write was lost with Storage hung and Storage down\./)
  })

  it('is refused, and loses nothing, where the driver says so', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown } = await run(sandbox, 'refuses', 'storage-down')
    const [cell] = record.cells
    assert.ok(cell !== undefined)
    const { seen, ways } = outcomeOf(cell)
    assert.equal(seen, 'recovers')
    assert.deepEqual(losing(ways), [])
    for (const { by, refused } of Object.values(ways)) assert.deepEqual(Object.keys(refused), ['EIO'], by)
    assert.match(
      markdown,
      /\*\*Errors for a time\*\*: Storage down\.[^]*fsync: [\d,]+ acknowledged, refused with [\d,]+ EIO, the longest took /,
    )
  })

  it('loses what write alone had acknowledged, where the driver drops its memory and says so at fsync and close', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown, xml } = await run(sandbox, 'forgets', 'storage-down')
    const [cell] = record.cells
    assert.ok(cell !== undefined)
    const { seen, ways } = outcomeOf(cell)
    assert.equal(seen, 'loses-unsynced')
    assert.deepEqual(losing(ways), ['write'])
    assert.deepEqual(Object.keys(ways.fsync?.refused ?? {}), ['EIO'])
    assert.match(
      markdown,
      /\*\*Writes lost that write or close had acknowledged\*\*: Storage down\.[^]*Not in the files at the end: [\d,]+ of [\d,]+ records that write alone had acknowledged\./,
    )
    assert.match(xml, /<failure message="loses writes" type="loses-unsynced">/)
  })

  it('loses what fsync had acknowledged, which comes first, where the driver drops its memory and says nothing', async () => {
    await using sandbox = new Sandbox()
    const { record, markdown, report, xml } = await run(sandbox, 'loses', 'storage-down')
    const [cell] = record.cells
    assert.ok(record.firstUse !== undefined && cell !== undefined)
    assert.deepEqual(losing(outcomeOf(record.firstUse).ways), [])
    const { seen, ways } = outcomeOf(cell)
    assert.equal(seen, 'loses-synced')
    assert.deepEqual(losing(ways), ['write', 'fsync', 'close'])
    for (const { by, lost, notInStorage } of Object.values(ways)) assert.equal(notInStorage, lost, by)
    const lost = String.raw`[\d,]+ of [\d,]+ records that fsync had acknowledged, [\d,]+ of [\d,]+ records that close had acknowledged and [\d,]+ of [\d,]+ records that write alone had acknowledged\.`
    assert.match(markdown, new RegExp(`With Storage down, acknowledged writes are lost: ${lost}`))
    assert.match(
      markdown,
      new RegExp(String.raw`^1\. \*\*Writes lost that fsync had acknowledged\*\*: Storage down\. .*${lost}`, 'm'),
    )
    assert.match(report, /loses acknowledged writes/)
    assert.match(xml, /<failure message="loses synced writes" type="loses-synced">/)
  })

  it('has no part in it where the volume is read-only', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'driver.yaml')
    writeFileSync(path, JSON.stringify(await storing()))
    const args = ['lab', 'run', '--driver', path, '--failure', 'storage-down', '--mitigation', 'as-is', '--consumer', 'writes']
    const { status, stderr } = await sandbox.run(EXECUTABLE, args, { timeout: 240_000 })
    assert.equal(status, 2, stderr)
    assert.match(stderr, /nothing of what was chosen can be run: The volume refuses writes: Read-only file system\.$/m)
  })
})
