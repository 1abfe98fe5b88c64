import assert from 'node:assert/strict'
import { test } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mount } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

interface Case {
  readonly title: string
  readonly args: readonly string[]
  readonly callDeadline?: number
  readonly rpc: 'stage' | 'publish'
  readonly code: string
  readonly details: RegExp
  /** SIGSTOP for the daemon as soon as it is there. */
  readonly stop?: true
}

const TIMEOUT = { code: 'DEADLINE_EXCEEDED', details: /did not handle INIT within \d+\.\d s and was killed/ } as const
/** The daemons of all cases start at the same time: on a busy machine it takes long until one can fail. */
const FAILURE = { code: 'INTERNAL', details: /mount failed, as --inject mount-fail asks/, callDeadline: 60 } as const

const CASES: readonly Case[] = (['child', 'detached'] as const).flatMap((host) => {
  // Well below the client's deadline: on a loaded machine the answer takes a while to come.
  const inject = (fault: string, deadline = 5): string[] => [
    '--fuse-host',
    host,
    '--call-deadline',
    `${deadline}`,
    '--inject',
    fault,
  ]
  const failing = ['--fuse-host', host, '--inject', 'mount-fail']
  return [
    { title: `Stage with a ${host} daemon that never answers INIT`, args: inject('init-hang'), rpc: 'stage', ...TIMEOUT },
    { title: `Publish with a ${host} daemon that never answers INIT`, args: inject('init-hang'), rpc: 'publish', ...TIMEOUT },
    {
      title: `Stage with a ${host} daemon that is slower than the deadline`,
      args: inject('mount-delay=12'),
      rpc: 'stage',
      ...TIMEOUT,
    },
    {
      title: `Stage with a ${host} daemon that is stopped as it starts`,
      // Shorter than the call. A busy machine takes most of the call until the daemon has its name, by which it is found, and is stopped.
      args: inject('mount-delay=15', 18),
      rpc: 'stage',
      ...TIMEOUT,
      stop: true,
    },
    { title: `Stage with a ${host} daemon that fails`, args: failing, rpc: 'stage', ...FAILURE },
    { title: `Publish with a ${host} daemon that fails`, args: failing, rpc: 'publish', ...FAILURE },
  ] satisfies Case[]
})

void test(
  'a daemon that does not come up ends the call with its reason and leaves nothing that could mount later',
  { concurrency: true },
  async (t) => {
    const run = async ({ rpc, code, details, stop, ...options }: Case): Promise<void> => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, options)
      const volume = new Volume(sandbox, plugin, 'volume')
      const call = outcome(volume[rpc]())
      if (stop === true) {
        const pid = await eventually('the daemon is there', () => plugin.daemons().find((one) => one > 0))
        process.kill(pid, 'SIGSTOP')
      }
      const failed = await call
      // What could mount anything must be gone by now, not later.
      assert.deepEqual(plugin.daemons(), [])
      assert.deepEqual(layersAt(volume.staging), [])
      assert.deepEqual(layersAt(volume.target), [])
      assert.equal(failed.code, code, failed.details)
      assert.match(failed.details, details)
      assert.ok(failed.details.includes(volume.staging))
      assert.deepEqual(plugin.entries(), [])
      assert.deepEqual(await volume.reasons(), ['MountFailed'])
      await volume.unpublish()
      await volume.unstage()
      assert.equal((await outcome(volume.reasons())).code, 'NOT_FOUND', 'an unstaged volume is forgotten')
    }
    await Promise.all(CASES.map((one) => t.test(`${one.title}: ${one.code}`, () => run(one))))
  },
)

void test('what a failing daemon said is in the log and in the status, without what is said by others', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-fail'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const { code, details } = await outcome(volume.stage())
  assert.equal(code, 'INTERNAL')
  assert.match(details, /mount failed/)
  await eventually('it is in the log', () => plugin.lines().some((line) => /^dummy-fuse\[\d+\]: .*mount failed/.test(line)))
})

void test('a state folder that cannot be written to fails Stage and Publish, and what they mounted is taken off again', async () => {
  await using sandbox = new Sandbox()
  const state = sandbox.directory('csi-state')
  mount('--bind', state, state)
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.stage()
  mount('-o', 'remount,ro,bind', state)
  assert.equal((await outcome(volume.publish())).code, 'UNAVAILABLE')
  assert.deepEqual(layersAt(volume.target), [])
  const other = new Volume(sandbox, plugin, 'other')
  const { code, details } = await outcome(other.stage())
  assert.equal(code, 'UNAVAILABLE')
  assert.match(details, /read-only file system/i)
  assert.deepEqual(layersAt(other.staging), [])
  assert.equal(plugin.daemons().length, 1)
  mount('-o', 'remount,rw,bind', state)
  await volume.publish()
  await volume.unpublish()
  await volume.unstage()
})
