import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { labOf, LAB_PROGRAMS } from '../programs/lab.ts'
import { Sandbox } from '../support/sandbox.ts'

void test('the lab runs with a FUSE program of examples/programs and its storage, and writes a record and reports', async () => {
  await using sandbox = new Sandbox()
  const [bindfs] = LAB_PROGRAMS
  assert.equal(bindfs?.name, 'bindfs')
  const out = sandbox.directory('out')
  const words = ['--failure', 'daemon-killed', '--mitigation', 'as-is', '--consumer', 'keeps-open,starts-after']
  const { driver, cells } = await labOf(sandbox, bindfs, { host: 'child', watch: 2, words, out })
  assert.equal(driver, 'bindfs')
  const seen = cells.map(({ consumers }) => consumers.map((one) => [one.consumer, one.seen]))
  assert.deepEqual(seen, [
    [
      ['keeps-open', 'errors'],
      ['starts-after', 'works'],
    ],
  ])
  for (const name of ['bindfs.json', 'bindfs.html', 'bindfs.md']) assert.ok(existsSync(join(out, name)), name)
})
