import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { LAB_PROGRAMS, labOf } from '../programs/lab.ts'
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
