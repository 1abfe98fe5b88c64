import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { LabRecord } from '../../src/lab/matrix/lab-record.ts'
import { peer } from '../support/driver-run.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { argumentsOf, commOf, type Result, Sandbox } from '../support/sandbox.ts'

/** Stands for every secret of the file, and is nowhere else. */
const MARK = 'MARKED-c0ffee-SECRET'

/** With a line feed and a quotation mark: it is not what programs show of it. */
const KEY = `-----BEGIN KEY-----\n${MARK}-1 "quoted"\n${MARK}-2\n-----END KEY-----`

const FILE = {
  name: 'leaking-driver',
  start: peer('leaking-driver', '{socket}'),
  fuse: false,
  callTimeout: 60,
  volume: {
    id: 'some-volume',
    attributes: { 'csi.storage.k8s.io/serviceAccount.tokens': `{"":{"token":"${MARK}"}}`, plain: 'plain-value' },
    publishContext: { accessKey: `${MARK}-key` },
    secrets: { user: `user-${MARK}`, password: MARK, key: KEY, pin: '1' },
  },
  file: 'file',
  content: 'content',
}

/** Runs one cell of the lab with the file, which is JSON and so YAML; the run's outcome and its record as text. */
async function runWith(sandbox: Sandbox, file: object, look: () => void = () => undefined): Promise<Result & { record: string }> {
  const driver = join(sandbox.path, 'driver.yaml')
  writeFileSync(driver, JSON.stringify(file))
  const [json, report] = [join(sandbox.path, 'seen.json'), join(sandbox.path, 'report.html')]
  const cells = ['--failure', 'plugin-killed', '--mitigation', 'as-is', '--consumer', 'keeps-open']
  const args = ['lab', 'run', '--driver', driver, ...cells, '--json', json, '--report', report, '--keep']
  const running = sandbox.start(EXECUTABLE, args, { env: { ...process.env, TMPDIR: sandbox.path } })
  const timer = setInterval(look, 50)
  const result = await running.ended.finally(() => {
    clearInterval(timer)
  })
  return { ...result, record: readFileSync(json, 'utf8') }
}

/** Whatever a run leaves but the driver's file, and has said. */
function textsOf(sandbox: Sandbox, { stdout, stderr }: Result): Readonly<Record<string, string>> {
  const files = readdirSync(sandbox.path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'driver.yaml')
    .map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'latin1')] as const)
  return { stdout, stderr, ...Object.fromEntries(files) }
}

function assertNowhere(texts: Readonly<Record<string, string>>): void {
  for (const [place, text] of Object.entries(texts)) {
    assert.ok(!text.includes(MARK), `${place}: ${text.slice(text.indexOf(MARK) - 200, text.indexOf(MARK) + 50)}`)
    assert.ok(!text.includes(Buffer.from(MARK).toString('base64')), place)
  }
}

describe("secrets of somebody's driver", () => {
  it('are in no record, report, log or argument of the lab, whatever the driver logs and mounts', async () => {
    await using sandbox = new Sandbox()
    const told: string[] = []
    const seen = await runWith(sandbox, FILE, () => {
      const pids = readdirSync('/proc').map(Number).filter(Number.isInteger)
      for (const pid of pids) {
        const args = argumentsOf(pid).join(' ')
        // The driver itself gives a secret to mount(8). A process that has ended meanwhile may have been that.
        if (!['mount', ''].includes(commOf(pid))) told.push(args)
      }
    })
    assert.equal(seen.status, 0, seen.stdout + seen.stderr)
    assertNowhere({ ...textsOf(sandbox, seen), arguments: told.join('\n') })
    const { cells } = JSON.parse(seen.record) as LabRecord
    const [cell] = cells
    assert.ok(cell?.verdict === 'measured')
    const logs = cell.evidence.logs.map(({ text }) => text).join('\n')
    assert.match(logs, /"password":"\*\*\*stripped\*\*\*"/)
    assert.match(logs, /"plain":"plain-value"/)
    assert.match(logs, /"pin":"1"/)
    assert.ok(cell.evidence.mountsBefore.some((line) => line.includes('//server/***stripped***')))
  })
})
