import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { FusedProcess, sleepsOf } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { daemonIn, mountDummyFuse } from '../support/mounting.ts'
import { commOf, descriptorsOf, devicesOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** O_CLOEXEC (open(2)), among the flags that proc_pid_fdinfo(5) gives in octal digits. */
const CLOSED_ON_EXEC = 0o2000000

/** Waits until no thread of a process has woken for three seconds; what was begun before has had its time by then. */
async function fallsAsleep(what: string, pid: number): Promise<void> {
  let before = -1
  let since = 0
  await eventually(
    `${what} sleeps for three seconds on end`,
    async () => {
      const now = sleepsOf(pid)
      if (now !== before) since = performance.now()
      before = now
      await sleep(100)
      return performance.now() - since > 3000
    },
    60_000,
  )
}

describe('an idle daemon', { concurrency: 4 }, () => {
  it('is not woken by anything: dummy-fused with 20 sessions, by itself and under keep, keep too', async () => {
    for (const options of [{}, { keep: [] }]) {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, options)
      for (let at = 0; at < 20; at++) {
        const path = sandbox.directory(`v${at}`)
        await fused.mount(path)
        assert.ok(await serves(sandbox, path))
      }
      await fallsAsleep('dummy-fused', fused.pid)
      if (fused.pid !== fused.running.pid) await fallsAsleep('keep', fused.running.pid)
    }
  })

  it('is not woken by anything: dummy-fused after a takeover', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const path = sandbox.directory('mnt')
    await fused.mount(path)
    await fused.kill()
    await fused.answers()
    assert.ok(await serves(sandbox, path))
    await fallsAsleep('dummy-fused', fused.pid)
  })

  it('is not woken by anything: dummy-fuse', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox)
    assert.ok(await serves(sandbox, path))
    await fallsAsleep('dummy-fuse', daemonIn(sandbox))
  })

  it('is not woken by anything between two times that a watchdog wants to hear from it', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: ['--watchdog', '20'] })
    await fused.mount(sandbox.directory('mnt'))
    await fallsAsleep('dummy-fused', fused.pid)
  })
})

describe('the descriptors of dummy-fused', () => {
  /** Those that a child would have, standard streams apart. */
  const inheritable = (pid: number): string[] =>
    descriptorsOf(pid)
      .filter(({ fd, info }) => fd > 2 && (parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '0', 8) & CLOSED_ON_EXEC) === 0)
      .map(({ fd, target }) => `${fd} ${target}`)

  it('are all closed on exec, before and after a takeover', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    for (let at = 0; at < 5; at++) await fused.mount(sandbox.directory(`v${at}`))
    for (let life = 0; life < 3; life++) {
      assert.equal(devicesOf(fused.pid), 5)
      assert.equal(devicesOf(fused.running.pid), 5)
      // Node reads its certificates, where there are any, in a thread and through a descriptor of its own.
      await eventually('none is inheritable', () => inheritable(fused.pid).length + inheritable(fused.running.pid).length === 0)
      await fused.kill()
      await fused.answers()
    }
  })

  it('are what dummy-fuse closes on exec too', async () => {
    await using sandbox = new Sandbox()
    await mountDummyFuse(sandbox)
    const pid = daemonIn(sandbox)
    await eventually('none is inheritable', () => inheritable(pid).length === 0)
  })
})

/** Resident bytes of a process that nobody else has. */
function privateMemory(pid: number): number {
  const [, kilobytes] = /^Private_Dirty:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

describe('200 rounds of mount and unmount', () => {
  it('leave no descriptor, record or kept descriptor behind, and little memory', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [] })
    const paths = Array.from({ length: 8 }, (_, at) => sandbox.directory(`v${at}`))
    const rounds = async (count: number): Promise<void> => {
      for (let round = 0; round < count; round += paths.length) {
        await Promise.all(paths.map(async (path) => await fused.mount(path)))
        assert.ok(await serves(sandbox, paths[round % paths.length] ?? ''))
        assert.deepEqual(
          await Promise.all(paths.map(async (path) => await fused.unmount(path))),
          paths.map(() => true),
        )
      }
    }
    /** How many descriptors it and keep have, once the last client's connection is closed: the least for a second. */
    const settled = async (): Promise<readonly [number, number]> => {
      let counts: readonly [number, number] = [Infinity, Infinity]
      let since = performance.now()
      await eventually('connections are closed', () => {
        const now = [descriptorsOf(fused.pid).length, descriptorsOf(fused.running.pid).length] as const
        if (now[0] < counts[0] || now[1] < counts[1]) {
          counts = now
          since = performance.now()
        }
        return performance.now() - since > 1000
      })
      return counts
    }
    await rounds(24)
    const [mine, keepers] = await settled()
    const memory = privateMemory(fused.pid)
    await rounds(200)
    assert.deepEqual(await settled(), [mine, keepers])
    assert.deepEqual([...fused.records(), ...sandbox.mounts(), ...(await fused.paths())], [])
    await eventually('its descriptors are closed', () => devicesOf(fused.pid) + devicesOf(fused.running.pid) === 0)
    const grown = privateMemory(fused.pid) - memory
    assert.ok(grown < 40 * 1024 * 1024, `grown by ${grown} bytes`)
    assert.equal(commOf(fused.pid), 'dummy-fused')
  })
})
