import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MachineReader } from '../support/c-reader.ts'
import { FAILS_AT_ONCE, FusedMachine, FUSED_UNIT, NOTHING_LEFT, STANDBY_UNIT } from '../support/fused-machine.ts'
import { eventually } from '../support/wait.ts'

/** Seconds. */
const DEADLINE = 4

/** Files in the executable's place that cannot take over. */
const BROKEN: Readonly<Record<string, { content: string | Buffer; mode?: number }>> = {
  'fails at once': { content: FAILS_AT_ONCE },
  'is killed at once': { content: '#!/bin/sh\nkill -SEGV $$\n' },
  'may not be executed': { content: '#!/bin/sh\nexec sleep 100\n', mode: 0o644 },
  'is never ready': { content: '#!/bin/sh\nexec sleep 1000\n' },
}

/** Nanoseconds. The unit counts whole seconds, and looks once in each. */
const LEAST_WAIT_NS = (DEADLINE - 1) * 1e9

/** Now, on the clock of a reader's times. */
function monotonicNs(): number {
  return Number(process.hrtime.bigint())
}

/** In the fraction of a second that it takes to see that the executable ends at once, and then one a second: what spins comes to several hundred. */
const MOST_RESTARTS = 150

/** Publishes the volume and starts its reader, which it resolves to once it reads. */
async function published(fused: FusedMachine, name: string): Promise<MachineReader> {
  const [target = ''] = await fused.plugin.publish('volume', 'pod')
  const reader = await fused.reader(name, { mode: 'held', file: `${target}/dummy-file.txt`, intervalUs: 10_000 })
  await reader.reading()
  return reader
}

async function assertNothingLeft(fused: FusedMachine): Promise<void> {
  await fused.plugin.unpublish('volume', 'pod')
  assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
}

async function getsCut(reader: MachineReader): Promise<void> {
  await eventually('it gets ENOTCONN', async () => ((await reader.progress()).failed.ENOTCONN ?? 0) > 0, 60_000)
}

describe('dummy-fused.service, when no successor takes over', () => {
  it('ends the wait of its readers at the takeover deadline, and does not spin', async (t) => {
    await using fused = await FusedMachine.start({ deadline: DEADLINE, standby: false })
    const { machine } = fused
    for (const [what, { content, mode }] of Object.entries(BROKEN)) {
      await t.test(`an executable that ${what}`, async (one) => {
        const reader = await published(fused, `reader-${what.replaceAll(' ', '-')}`)
        const seen = (await fused.journal()).length
        const before = Number(await machine.property(FUSED_UNIT, 'NRestarts'))
        fused.replaceExecutable(content, mode)
        const killedNs = monotonicNs()
        await fused.kill()
        await getsCut(reader)

        const { longestStall, firstBadNs, wrong } = await reader.summary()
        const restarts = Number(await machine.property(FUSED_UNIT, 'NRestarts')) - before
        one.diagnostic(`waited ${Math.round(longestStall.ns / 1e6)} ms; ${restarts} restarts`)
        assert.equal(wrong, 0)
        assert.ok(longestStall.ns >= LEAST_WAIT_NS, `it waited ${longestStall.ns} ns`)
        assert.ok((firstBadNs ?? 0) - killedNs >= LEAST_WAIT_NS, 'no read has failed before')
        assert.equal(await fused.stored(), 0)
        const givenUp = new RegExp(`has not come back within ${DEADLINE} s: its sessions are given up`)
        assert.match((await fused.journal()).slice(seen), givenUp)
        assert.ok(restarts <= MOST_RESTARTS, `${restarts} restarts within ${DEADLINE} s`)

        fused.restoreExecutable()
        await machine.systemctl('start', FUSED_UNIT)
        await assertNothingLeft(fused)
      })
    }

    await t.test('costs no read when one takes over in time', async () => {
      fused.setOptions({ deadline: 20 })
      await machine.systemctl('restart', FUSED_UNIT)
      const reader = await published(fused, 'reader')
      fused.replaceExecutable(FAILS_AT_ONCE)
      const killed = await fused.kill()
      await sleep(2500)
      fused.restoreExecutable()
      await fused.ready(killed)
      const { rounds } = await reader.progress()
      await eventually('it reads on', async () => (await reader.progress()).rounds > rounds)
      const { right, failed, wrong, longestStall } = await reader.summary()
      assert.deepEqual({ failed, wrong, some: right > 0 }, { failed: {}, wrong: 0, some: true })
      assert.ok(longestStall.ns > 2e9)
      await eventually('the deadline is called off', async () => {
        return (await machine.property('dummy-fused-deadline.service', 'ActiveState')) === 'inactive'
      })
      await assertNothingLeft(fused)
    })
  })

  it('costs no read before the deadline where there is a standby', async () => {
    await using fused = await FusedMachine.start({ deadline: DEADLINE })
    const { machine } = fused
    const reader = await published(fused, 'reader')
    await fused.standbyOf(1)
    fused.replaceExecutable(FAILS_AT_ONCE)
    const killedNs = monotonicNs()
    await fused.kill()
    await getsCut(reader)
    assert.notEqual(await machine.property(FUSED_UNIT, 'ActiveState'), 'active')
    const { firstBadNs, lastRightNs, wrong } = await reader.summary()
    assert.equal(wrong, 0)
    assert.ok((lastRightNs ?? 0) - killedNs >= 1e9, 'it has read on')
    assert.ok((firstBadNs ?? 0) - killedNs >= LEAST_WAIT_NS, 'no read has failed before')
    assert.equal(await fused.stored(), 0)
    await eventually('there is no standby either', () => fused.standby() === undefined)
    assert.equal(await machine.property(STANDBY_UNIT, 'ActiveState'), 'inactive')

    fused.restoreExecutable()
    await machine.systemctl('start', FUSED_UNIT)
    await assertNothingLeft(fused)
  })
})
