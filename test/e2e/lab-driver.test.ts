import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Cell, LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { isWrongAnyway, teardownProblems } from '../../src/lab/report/teardown-findings.ts'
import { parseYaml } from '../../src/yaml.ts'
import { runDriver } from '../support/driver-run.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { GO_DRIVER } from '../support/tools.ts'
import { schemaOf } from '../support/type-check.ts'

const problemsWith = schemaOf('src/lab/matrix/lab-record.ts', 'LabRecord')

/** A plugin in Go that serves FUSE in its own process and restores nothing. */
const DRIVER = `
name: go-driver
start: [${GO_DRIVER}, --endpoint, 'unix://{socket}', --node, '{node}']
volume:
  id: some-volume
  attributes: { text: "Hello from Go!\\n" }
file: greeting.txt
content: "Hello from Go!\\n"
watch: 2
`

describe("somebody's own driver in the lab", () => {
  it('is measured through the failures that can be made to happen to it', async () => {
    await using sandbox = new Sandbox()
    const [file, json, xml, md] = ['driver.yaml', 'seen.json', 'seen.xml', 'seen.md'].map((name) => join(sandbox.path, name)) as [
      string,
      string,
      string,
      string,
    ]
    writeFileSync(file, DRIVER)
    const failures = 'plugin-killed,staging-unmounted,connection-aborted,daemon-killed,mount-late'
    const args = [
      '--driver',
      file,
      '--failure',
      failures,
      '--mitigation',
      'as-is,consumers-exit',
      '--consumer',
      'keeps-open,private,exits-on-error,starts-after',
      '--json',
      json,
      '--junit',
      xml,
      '--markdown',
      md,
    ]
    const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', ...args], { timeout: 240_000 })
    assert.equal(status, 0, stdout + stderr)
    assert.match(
      stdout,
      /^not tried: daemon-killed: The plugin itself answers for the volume \(go-driver\); plugin-killed kills that process\.$/m,
    )

    const record = JSON.parse(readFileSync(json, 'utf8')) as LabRecord
    assert.deepEqual(problemsWith(record), [])
    assert.equal(record.driver, 'go-driver')
    assert.deepEqual(Object.keys(record.catalogue.mitigations), [
      'as-is',
      'consumers-exit',
      'host-to-container',
      'health',
      'shield',
    ])
    assert.equal(record.cells.length, 6)
    assert.ok(record.cells.every(({ verdict }) => verdict === 'measured'))
    assert.deepEqual(
      record.absent.map(({ failure, mitigation }) => [failure, mitigation]),
      ['daemon-killed', 'mount-late'].flatMap((failure) => ['as-is', 'consumers-exit'].map((mitigation) => [failure, mitigation])),
    )
    for (const { failure, consumers } of record.cells) {
      const outcomes = new Set(
        consumers.filter(({ consumer }) => !consumer.startsWith('starts-')).map(({ seen }) => seen.replace('waits', 'works')),
      )
      assert.deepEqual([...outcomes], [failure === 'staging-unmounted' ? 'works' : 'errors'], failure)
      assert.ok(consumers.every(({ failedBefore }) => failedBefore === 0))
    }
    const text = readFileSync(md, 'utf8')
    assert.match(text, /^3 of the 3 failures tried break consumers of go-driver: /m)
    assert.match(text, /^1\. \*\*Data on the node's own disk\*\*: Staging path unmounted\./m)
    const results = record.cells.flatMap(({ consumers }) => consumers)
    const ends = ['errors', 'never-starts', 'hangs', 'writes-to-host']
    const broken = results.filter(({ seen, wroteToNode }) => wroteToNode || ends.includes(seen))
    const torn = record.cells.filter((cell) => teardownProblems(cell).some((problem) => !isWrongAnyway(problem, cell, record)))
    const numbers = `tests="${results.length + record.cells.length}" failures="${broken.length + torn.length}" errors="0"`
    assert.ok(
      broken.length > 10 && readFileSync(xml, 'utf8').includes(`<testsuites name="dummy-fuse-csi lab: go-driver" ${numbers} `),
    )
  })

  it('has its plugin stopped, or killed and its pods replaced, where that itself answers for the volume', async () => {
    await using sandbox = new Sandbox()
    const cells = ['--failure', 'daemon-hung,all-pods-replaced', '--mitigation', 'as-is', '--consumer', 'keeps-open,private']
    const { record } = await runDriver(sandbox, { ...(parseYaml(DRIVER) as object), watch: 20, callTimeout: 30 }, cells)
    const [hung, replaced] = record.cells
    assert.ok(hung !== undefined && replaced !== undefined)
    for (const cell of [hung, replaced]) {
      assert.equal(cell.verdict, 'measured', cell.why)
      const struck = cell.events.filter(({ kind }) => kind === 'failure').map(({ text }) => /, process (\d+)$/.exec(text)?.[1])
      assert.deepEqual(struck, [String(cell.lanes.find(({ id }) => id === 'plugin')?.pid)])
    }
    for (const { seen, longestStallMs } of hung.consumers) assert.ok(/^(works|waits)$/.test(seen) && longestStallMs > 200, seen)
    const plugin = (cell: Cell): readonly string[] => cell.events.filter(({ lane }) => lane === 'plugin').map(({ kind }) => kind)
    assert.ok(!plugin(hung).includes('end'))
    assert.deepEqual(plugin(replaced).slice(0, 3), ['start', 'end', 'restart'])
    assert.deepEqual(
      replaced.consumers.map(({ seen }) => seen),
      ['restarted', 'restarted'],
    )
  })

  it('ends with 2 and the reasons when nothing of what was chosen can be tried', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'driver.yaml')
    writeFileSync(file, DRIVER)
    const { status, stderr } = await sandbox.run(EXECUTABLE, [
      'lab',
      'run',
      '--driver',
      file,
      '--failure',
      'daemon-killed,daemon-replaced',
    ])
    assert.equal(status, 2)
    assert.match(
      stderr,
      /nothing of what was chosen can be run: The plugin itself answers for the volume \(go-driver\); plugin-killed kills that process\. The plugin itself answers .*; while that process is stopped, nobody answers a call for one more pod either\. daemon-hung stops that process\.$/m,
    )
  })

  const WRONG: { name: string; text: string; says: RegExp }[] = [
    { name: 'is no YAML', text: 'name: [', says: /driver\.yaml: it is no YAML: / },
    {
      name: 'has a password with an exclamation mark and no quotes, which it does not repeat',
      text: 'volume: { secrets: { password: !s3cret } }',
      says: /it is no YAML: a text that begins with ! needs quotes at line 1, column 32 \(docs/,
    },
    { name: 'has a field that there is not', text: 'nmae: x', says: /there is no 'nmae'; there are name, start, / },
    { name: 'lacks a field', text: DRIVER.replace(/^file:.*$/m, ''), says: /file is missing/ },
    {
      name: 'has a program without a path',
      text: DRIVER.replace(`[${GO_DRIVER}`, '[go-driver'),
      says: /start does not begin with an absolute path/,
    },
    { name: 'has a list where words belong', text: DRIVER.replace(/^file:.*$/m, 'file: [a]'), says: /file is not a text/ },
    {
      name: 'has a signal that does not tell to end',
      text: `${DRIVER}stop: SIGKILL\n`,
      says: /stop is neither SIGTERM nor SIGINT/,
    },
  ]
  for (const { name, text, says } of WRONG) {
    it(`ends with 2 and the field's name where its file ${name}`, async () => {
      await using sandbox = new Sandbox()
      const file = join(sandbox.path, 'driver.yaml')
      writeFileSync(file, text)
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', file])
      assert.equal(status, 2, stderr)
      assert.match(stderr, says)
      assert.equal(stderr.trimEnd().split('\n').length, 1)
    })
  }

  it('ends with 2 where a consumer of a second volume is asked for: the file names one', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'driver.yaml')
    writeFileSync(file, DRIVER)
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', file, '--consumer', 'neighbour'])
    assert.equal(status, 2, stderr)
    assert.match(stderr, /--consumer: there is no 'neighbour'; there are keeps-open, .*exits-on-error/)
  })

  it('ends with 2 where there is no such file', async () => {
    await using sandbox = new Sandbox()
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', join(sandbox.path, 'none.yaml')])
    assert.equal(status, 2)
    assert.match(stderr, /cannot read .*none\.yaml: .*no such file/i)
  })

  it('ends the run at once, with one message, where its plugin does not start', async () => {
    await using sandbox = new Sandbox()
    const [file, json] = [join(sandbox.path, 'driver.yaml'), join(sandbox.path, 'seen.json')]
    writeFileSync(file, DRIVER.replace(/^start:.*$/m, 'start: [/bin/sh, -c, "echo one; echo two >&2; exit 3"]'))
    const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'run', '--driver', file, '--json', json], {
      timeout: 60_000,
      env: { ...process.env, TMPDIR: sandbox.path },
    })
    assert.equal(status, 1, stdout + stderr)
    assert.equal(stdout, '')
    assert.equal(stderr.trimEnd().split('\n').length, 1)
    const [, log = ''] =
      /the driver go-driver cannot be tested: start: the plugin ended before it listened.*All that it said is in (\S+driver\.log)\. /.exec(
        stderr,
      ) ?? []
    assert.deepEqual(readFileSync(log, 'utf8').trimEnd().split('\n').sort(), ['one', 'two'])
    assert.ok(!existsSync(json))
  })

  it('ends the run at once, with one message, where its first use cannot be run', async () => {
    await using sandbox = new Sandbox()
    // The storage on the network of the machine has the bucket of the trial already.
    let asked = 0
    const server = createServer((connection) => connection.end(asked++ === 0 ? 'made\n' : 'the bucket is there already\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const address = server.address()
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0
      const prepare = `exec 3<> /dev/tcp/127.0.0.1/${port} && read -r said <&3 && echo "$said" && test "$said" = made`
      const [file, json] = [join(sandbox.path, 'driver.yaml'), join(sandbox.path, 'seen.json')]
      writeFileSync(file, JSON.stringify({ ...(parseYaml(DRIVER) as object), network: 'host', prepare }))
      const args = ['lab', 'run', '--driver', file, '--failure', 'plugin-killed,staging-unmounted', '--json', json]
      const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, args, { timeout: 120_000 })
      assert.equal(status, 1, stdout + stderr)
      assert.match(
        stderr,
        /the driver go-driver cannot be tested: the first use, which is without a failure, cannot be run: on the node: .*: the bucket is there already/,
      )
      assert.equal(stderr.trimEnd().split('\n').length, 1)
      // The trial, and the first use.
      assert.equal(asked, 2)
      assert.ok(!existsSync(json))
    } finally {
      server.close()
    }
  })
})
