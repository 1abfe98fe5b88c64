import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { sampleRecord } from '../fixtures/lab-record.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const SAMPLE = sampleRecord({ lines: 4 })
const COUNTS = /^Of \d+ results that both have, /m

/** The sample in which `none` does as well as `systemd`. */
const BETTER: LabRecord = {
  ...SAMPLE,
  cells: SAMPLE.cells.map((cell) => {
    const { failure, mitigation } = cell
    const other = SAMPLE.cells.find((one) => one.failure === failure && one.mitigation === 'systemd')
    return mitigation === 'none' && failure !== 'daemon-hung' && other !== undefined ? { ...other, mitigation } : cell
  }),
}

describe('lab report --compare', () => {
  let sandbox: Sandbox

  before(() => {
    sandbox = new Sandbox()
    for (const [name, record] of Object.entries({
      'a.json': SAMPLE,
      'better.json': BETTER,
      'less.json': { ...SAMPLE, cells: SAMPLE.cells.slice(0, 5) },
      'old.json': { version: 2, cells: [] },
    }))
      writeFileSync(join(sandbox.path, name), JSON.stringify(record))
    writeFileSync(join(sandbox.path, 'half.json'), JSON.stringify(SAMPLE).slice(0, 500))
  })

  after(async () => {
    await sandbox[Symbol.asyncDispose]()
  })

  async function report(...args: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    return await sandbox.run(EXECUTABLE, ['lab', 'report', ...args], { cwd: sandbox.path })
  }

  it('prints the Markdown, whole also into a pipe, where no file is named', async () => {
    const { status, stdout, stderr } = await report('--compare', 'a.json', 'better.json')
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^\*\*Of \d+ results that both have, 0 are worse in B, \d\d are better/m)
    assert.match(stdout, /^\| Plugin killed \| None \| .* \| ✗ errors for ever \| ✓ works \|/m)
  })

  it('writes both files, and names them', async () => {
    const { status, stdout, stderr } = await report('--compare', 'a.json', 'better.json', '--html', 'c.html', '--markdown', 'c.md')
    assert.equal(status, 0, stderr)
    assert.match(stdout, COUNTS)
    for (const file of ['c.html', 'c.md']) assert.ok(stdout.includes(`written: ${join(sandbox.path, file)}\n`), stdout)
    assert.ok(readFileSync(join(sandbox.path, 'c.html'), 'utf8').includes('Better in B'))
    assert.ok(readFileSync(join(sandbox.path, 'c.md'), 'utf8').includes('**Better in B**'))
  })

  const STATUSES: { b: string; a?: string; failOn: string; status: number }[] = [
    { b: 'a.json', failOn: 'difference', status: 0 },
    { b: 'better.json', failOn: 'worse', status: 0 },
    { b: 'better.json', failOn: 'difference', status: 1 },
    { a: 'better.json', b: 'a.json', failOn: 'worse', status: 1 },
    { b: 'less.json', failOn: 'worse', status: 4 },
    { a: 'less.json', b: 'a.json', failOn: 'worse', status: 0 },
  ]
  for (const { a = 'a.json', b, failOn, status } of STATUSES) {
    it(`ends with ${status} for ${a} and ${b} with --fail-on ${failOn}`, async () => {
      const result = await report('--fail-on', failOn, '--compare', a, b)
      assert.equal(result.status, status, result.stdout + result.stderr)
    })
  }

  const WRONG: { name: string; args: readonly string[]; says: RegExp }[] = [
    { name: 'no records', args: [], says: /no records given; name two, as in .* --compare A\.json B\.json/ },
    { name: 'one record', args: ['--compare', 'a.json'], says: /--compare takes two files, .* 1 is given/ },
    { name: 'three records', args: ['--compare', 'a.json', 'a.json', 'a.json'], says: /--compare takes two files, .* 3 are given/ },
    {
      name: 'a file that there is not',
      args: ['--compare', 'a.json', 'none.json'],
      says: /cannot read none\.json: .*no such file/i,
    },
    { name: 'a folder', args: ['--compare', '.', 'a.json'], says: /cannot read \.: .*directory/ },
    {
      name: 'half a record',
      args: ['--compare', 'a.json', 'half.json'],
      says: /half\.json: .*not valid JSON at line 1 column 501/,
    },
    {
      name: 'a record of another version',
      args: ['--compare', 'old.json', 'a.json'],
      says: /old\.json: it is a record of version 2, and this lab reads version 6/,
    },
    {
      name: 'another option',
      args: ['--compare', 'a.json', 'a.json', '--report', 'x.html'],
      says: /unknown option '--report'.*; there are .*--html <file>/,
    },
    { name: 'something else to fail on', args: ['--compare', 'a.json', 'a.json', '--fail-on', 'x'], says: /worse, difference/ },
  ]
  for (const { name, args, says } of WRONG) {
    it(`ends with 2 and one line, and writes nothing, for ${name}`, async () => {
      const { status, stdout, stderr } = await report(...args, '--html', 'never.html')
      assert.equal(status, 2, stderr)
      assert.match(stderr, says)
      assert.equal(stderr.trimEnd().split('\n').length, 1)
      assert.equal(stdout, '')
      assert.ok(!existsSync(join(sandbox.path, 'never.html')))
    })
  }

  it('ends with 1 before it reads anything where a file cannot be written', async () => {
    const { status, stderr } = await report('--compare', 'a.json', 'none.json', '--html', 'nowhere/c.html')
    assert.equal(status, 1)
    assert.match(stderr, /cannot write .*nowhere\/c\.html: .*no such file/i)
  })
})
