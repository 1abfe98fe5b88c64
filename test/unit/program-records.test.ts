import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Logger } from '../../src/log.ts'
import { type ProgramRecord, ProgramRecords } from '../../src/hosts/program/records.ts'
import { processStat } from '../../src/os/processes/processes.ts'

const ID = '0123456789abcdef0123456789abcdef'

class RecordsInTest implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'dummy-fuse-records-'))
  readonly lines: string[] = []

  records(bootId = 'boot'): ProgramRecords {
    const records = new ProgramRecords(this.folder, bootId, new Logger((line) => this.lines.push(line.slice(20))))
    records.load()
    return records
  }

  record(change: Partial<ProgramRecord> = {}): ProgramRecord {
    const common = { version: 1, bootId: 'boot', volumeId: 'v', program: 'fs', id: ID, before: ['0:7'], processes: [] } as const
    return { ...common, path: '/staging', ...change }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true })
  }
}

const fuse = (device: string): { fsType: string; device: string } => ({ fsType: 'fuse.fs', device })

describe('the records of programs', () => {
  it('are read by the next plugin of the same boot, and removed by one of another', () => {
    using used = new RecordsInTest()
    used.records().save(used.record({ device: '0:9' }))
    assert.deepEqual(used.records().all(), [used.record({ device: '0:9' })])
    assert.deepEqual(used.records('later').all(), [])
    assert.deepEqual(readdirSync(used.folder), [])
    assert.deepEqual(used.records().all(), [])
  })

  it('say that a FUSE mount which has come to the path of a start is its own, and no other', () => {
    using used = new RecordsInTest()
    const records = used.records()
    records.save(used.record())
    assert.ok(records.includes('/staging', fuse('0:9')))
    assert.ok(!records.includes('/staging', fuse('0:7')), 'it was there before')
    assert.ok(!records.includes('/staging', { fsType: 'tmpfs', device: '0:9' }))
    assert.ok(!records.includes('/elsewhere', fuse('0:9')))
  })

  it('say that the super block of a session is its own, at any path', () => {
    using used = new RecordsInTest()
    const records = used.records()
    records.save(used.record({ device: '0:9' }))
    assert.ok(records.includes('/staging', fuse('0:9')))
    assert.ok(records.includes('/target', fuse('0:9')))
    assert.ok(!records.includes('/staging', fuse('0:10')), 'another program has mounted over it')
    records.remove('/staging')
    assert.ok(!records.includes('/target', fuse('0:9')))
  })

  it('name a process that runs, and none whose id another one has', () => {
    using used = new RecordsInTest()
    const records = used.records()
    const { pid, start } = processStat(process.pid) ?? { pid: 0, start: '' }
    records.save(used.record({ device: '0:9', processes: [{ pid, start }] }))
    assert.deepEqual(records.daemonAt('/staging', '0:9'), { pid, stopped: false })
    assert.equal(records.daemonAt('/staging', '0:10'), undefined)
    records.save(used.record({ device: '0:9', processes: [{ pid, start: '1' }] }))
    assert.equal(records.daemonAt('/staging', '0:9'), undefined)
  })

  it('that are damaged are left out, with a line in the log', () => {
    using used = new RecordsInTest()
    writeFileSync(join(used.folder, 'x.json'), '{"version":1')
    assert.deepEqual(used.records().all(), [])
    assert.match(used.lines.join('\n'), /^Skipped damaged program record .*\/x\.json: it is not valid JSON$/)
  })
})
