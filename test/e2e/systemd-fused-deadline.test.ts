import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
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

describe('dummy-fused.service, when no successor takes over', () => {
  for (const [what, { content, mode }] of Object.entries(BROKEN)) {
    it(`ends the wait of its readers at the takeover deadline, and does not spin: an executable that ${what}`, async (t) => {
      await using fused = await FusedMachine.start({ deadline: DEADLINE, standby: false })
      const { plugin, machine } = fused
      const [target = ''] = await plugin.publish('volume', 'pod')
      const reader = await fused.reader('reader', { mode: 'held', file: `${target}/dummy-file.txt` })
      await reader.reading()
      const before = Number(await machine.property(FUSED_UNIT, 'NRestarts'))
      fused.replaceExecutable(content, mode)
      const killedNs = monotonicNs()
      await fused.kill()
      await eventually('it gets ENOTCONN', async () => ((await reader.progress()).failed.ENOTCONN ?? 0) > 0, 60_000)

      const { longestStall, firstBadNs, wrong } = await reader.summary()
      const restarts = Number(await machine.property(FUSED_UNIT, 'NRestarts')) - before
      t.diagnostic(`waited ${Math.round(longestStall.ns / 1e6)} ms; ${restarts} restarts`)
      assert.equal(wrong, 0)
      assert.ok(longestStall.ns >= LEAST_WAIT_NS, `it waited ${longestStall.ns} ns`)
      assert.ok((firstBadNs ?? 0) - killedNs >= LEAST_WAIT_NS, 'no read has failed before')
      assert.equal(await fused.stored(), 0)
      assert.match(await fused.journal(), new RegExp(`has not come back within ${DEADLINE} s: its sessions are given up`))
      assert.ok(restarts <= MOST_RESTARTS, `${restarts} restarts within ${DEADLINE} s`)

      fused.restoreExecutable()
      await machine.systemctl('start', FUSED_UNIT)
      await plugin.unpublish('volume', 'pod')
      assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
    })
  }

  it('costs no read before the deadline where there is a standby', async () => {
    await using fused = await FusedMachine.start({ deadline: DEADLINE })
    const { plugin, machine } = fused
    const [target = ''] = await plugin.publish('volume', 'pod')
    await fused.standbyOf(1)
    const reader = await fused.reader('reader', { mode: 'held', file: `${target}/dummy-file.txt` })
    await reader.reading()
    fused.replaceExecutable(FAILS_AT_ONCE)
    const killedNs = monotonicNs()
    await fused.kill()
    await eventually('it gets ENOTCONN', async () => ((await reader.progress()).failed.ENOTCONN ?? 0) > 0, 60_000)
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
    await plugin.unpublish('volume', 'pod')
    assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
  })

  it('costs no read when one takes over in time', async () => {
    await using fused = await FusedMachine.start({ deadline: 20, standby: false })
    const [target = ''] = await fused.plugin.publish('volume', 'pod')
    const reader = await fused.reader('reader', { mode: 'held', file: `${target}/dummy-file.txt` })
    await reader.reading()
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
      return (await fused.machine.property('dummy-fused-deadline.service', 'ActiveState')) === 'inactive'
    })
    await fused.plugin.unpublish('volume', 'pod')
    assert.deepEqual(await fused.leftovers(), NOTHING_LEFT)
  })
})
