import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { labOf } from '../programs/lab.ts'
import { mountTable } from '../programs/mount-table.ts'
import { mountOf, verdictsIn } from '../programs/mount.ts'
import { LAB_PROGRAMS } from '../programs/program.ts'
import { Sandbox } from '../support/sandbox.ts'

void test('the lab strikes the server of a FUSE program: sshfs waits while it is stopped, and loses open files when it is killed', async () => {
  await using sandbox = new Sandbox()
  const sshfs = LAB_PROGRAMS.find(({ name }) => name === 'sshfs')
  assert.ok(sshfs !== undefined)
  const out = sandbox.directory('out')
  const words = ['--failure', 'storage-hung,storage-down', '--mitigation', 'as-is', '--consumer', 'keeps-open,opens-anew']
  const { driver, cells } = await labOf(sandbox, sshfs, { host: 'child', watch: 3, words, out })
  assert.equal(driver, 'sshfs')
  const seen = Object.fromEntries(cells.map(({ failure, consumers }) => [failure, consumers.map((one) => one.seen)]))
  // Whether it is decided depends on how long the driver was seen to need for a mount.
  assert.match(seen['storage-down']?.[0] ?? '', /^(undecided|errors)$/)
  assert.deepEqual(seen, { 'storage-hung': ['waits', 'waits'], 'storage-down': [seen['storage-down']?.[0], 'recovers'] })
  for (const name of ['sshfs.json', 'sshfs.html', 'sshfs.md']) assert.ok(existsSync(join(out, name)), name)
})

void test('the mount commands of FUSE programs are tested with their real storage, and stand in a table', async () => {
  const seen = new Map<string, ReturnType<typeof verdictsIn>>()
  for (const program of LAB_PROGRAMS.filter(({ name }) => name === 'sshfs' || name === 's3fs')) {
    await using sandbox = new Sandbox()
    seen.set(program.name, verdictsIn(await mountOf(sandbox, program, { wait: 60, only: ['descriptors', 'unreachable-storage'] })))
    assert.deepEqual(sandbox.mounts(), [])
  }
  const [head, , ...rows] = mountTable(seen).split('\n')
  assert.equal(head, '| case | sshfs | s3fs |')
  const kept = 'what it leaves keeps descriptor 3, which it has inherited of its caller'
  assert.deepEqual(rows.slice(0, 5), [
    '| `mounts` | well | well |',
    '| `descriptors` | finding | finding |',
    '| `unreachable-storage` | well | #1081 |',
    '',
    `- sshfs, s3fs, \`descriptors\`: ${kept}`,
  ])
  assert.match(rows[5] ?? '', /^- s3fs, `unreachable-storage`: it returned 0 after .* s, and nothing was mounted/)
})
