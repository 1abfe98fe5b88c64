import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import { Redaction } from '../../src/lab/driver/redaction.ts'
import { notRun } from '../../src/lab/matrix/run-cells.ts'
import { FAILURES } from '../../src/lab/failures/all.ts'
import { MITIGATIONS } from '../../src/lab/mitigations.ts'
import { failedCall, sampleTeardown } from '../fixtures/lab-record.ts'

const SECRET = 's3cret'

describe('what the lab tells of a driver', () => {
  const redaction = new Redaction({
    volume: {
      ...{ id: 'volume', pv: 'pv' },
      secrets: { password: SECRET, longer: `${SECRET}-and-more`, key: 'BEGIN\n"quoted"\nEND', pin: '12' },
      volumeContext: { token: 'ey.token', share: 'public' },
      publishContext: { accessKey: 'AKIA-1' },
      callSecrets: { nodeStage: { user: 'of-a-call' } },
    },
    env: { AWS_SECRET_ACCESS_KEY: 'of-the-env', AWS_REGION: 'here' },
    create: { parameters: { adminPassword: 'of-create' }, capacity: { required: 0, limit: 0 } },
  })
  const CASES: readonly (readonly [what: string, text: string, shown: string])[] = [
    ['a secret', `password=${SECRET}&x`, 'password=***stripped***&x'],
    ['one of which another is a part', `${SECRET}-and-more`, '***stripped***'],
    ['one in JSON', JSON.stringify({ key: 'BEGIN\n"quoted"\nEND' }), '{"key":"***stripped***"}'],
    ['a line of one', 'says "quoted" here', 'says ***stripped*** here'],
    ['one in Base64', Buffer.from(SECRET).toString('base64'), '***stripped***'],
    ['a value of a context whose key names one', 'ey.token AKIA-1 public', '***stripped*** ***stripped*** public'],
    [
      'one of a call, the environment and the parameters',
      'of-a-call of-the-env of-create here',
      '***stripped*** ***stripped*** ***stripped*** here',
    ],
    ['one of fewer than four characters', 'volume 12', 'volume 12'],
  ]
  for (const [what, text, shown] of CASES)
    it(`shows ${shown} in place of ${what}`, () => {
      assert.equal(redaction.text(text), shown)
    })

  it('has no secret in the reason for which a cell was not run, nor in its events, logs, mounts and teardown', () => {
    const [failure, mitigation] = [FAILURES[0], MITIGATIONS[0]]
    assert.ok(failure !== undefined && mitigation !== undefined)
    const nothing = notRun({ failure, mitigation, consumers: {} }, `refused: ${SECRET}`, '', 0)
    const evidence = {
      ...nothing.evidence,
      logs: [{ lane: 'plugin', atMs: 0, text: SECRET }],
      mountsBefore: [SECRET],
      disk: [SECRET],
      written: [{ path: `/tmp/${SECRET}`, kind: 'file' as const, size: 1 }],
    }
    const events = [{ atMs: 0, lane: 'plugin', kind: 'log', text: SECRET }] as const
    const teardown = sampleTeardown({
      calls: [failedCall('NodeUnstageVolume', 'INTERNAL', SECRET)],
      left: { mounts: [SECRET], folders: [{ path: '/a', names: [SECRET] }], holders: [SECRET] },
      newPod: { saw: 'not started', why: SECRET, watchedMs: 9, wroteToNode: false, calls: [] },
    })
    const cell = redaction.cell({ ...nothing, events, evidence, teardown })
    assert.equal(cell.why, 'refused: ***stripped***')
    assert.ok(!JSON.stringify(cell).includes(SECRET))
  })
})

describe('a driver’s file that is no YAML', () => {
  for (const wrong of [`*${SECRET}`, `!${SECRET}`, `|${SECRET}`, `'${SECRET}`, `@${SECRET}`, `{${SECRET}`, `x: ${SECRET}`])
    it(`is refused, without what stands there: password: ${wrong}`, () => {
      assert.throws(
        () => parseDriver(`volume:\n  secrets:\n    password: ${wrong}\n`, 'driver.yaml'),
        ({ message }: Error) => message.startsWith('driver.yaml: it is no YAML: ') && !message.includes(SECRET),
      )
    })
})
