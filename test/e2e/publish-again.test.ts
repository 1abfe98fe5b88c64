import assert from 'node:assert/strict'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { layersAt, mount, mountAt, optionsAt, serves } from '../support/mounts.ts'
import { mountCapability, Plugin, SHARED_DAEMON } from '../support/plugin.ts'
import { type Running, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/**
 * Reads the file at a target and tries to make another there, by their paths, as fast as it can. In the end it prints how often each of both
 * ended how: `ok`, or the errno's name.
 */
class Consumer {
  readonly #sandbox: Sandbox
  readonly #running: Running
  readonly #enough: string

  private constructor(sandbox: Sandbox, target: string) {
    const code = [
      'import collections, errno, json, os, sys',
      'counts = collections.Counter()',
      'def attempt(name, flags):',
      '    try:',
      '        os.close(os.open(os.path.join(sys.argv[1], name), flags))',
      '        return "ok"',
      '    except OSError as error: return errno.errorcode[error.errno]',
      'while not os.path.exists(sys.argv[2]):',
      '    counts["read " + attempt("dummy-file.txt", os.O_RDONLY)] += 1',
      '    counts["create " + attempt("new-%d" % counts.total(), os.O_WRONLY | os.O_CREAT)] += 1',
      '    if counts.total() == 2: print("begun", flush=True)',
      'print(json.dumps(counts))',
    ].join('\n')
    this.#sandbox = sandbox
    this.#enough = join(mkdtempSync(join(sandbox.path, 'consumer-')), 'enough')
    this.#running = sandbox.start('python3', ['-c', code, target, this.#enough])
  }

  static async at(sandbox: Sandbox, target: string): Promise<Consumer> {
    const consumer = new Consumer(sandbox, target)
    await eventually('the consumer begins', () => consumer.#running.output().includes('begun'))
    return consumer
  }

  /** Ends it; resolves to how its attempts ended, sorted. */
  async ends(): Promise<readonly string[]> {
    writeFileSync(this.#enough, '')
    const { stdout, stderr } = await this.#running.ended
    assert.ok(stdout.includes('{'), stderr)
    const counts = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Record<string, number>
    assert.deepEqual(this.#sandbox.processes('python3').includes(this.#running.pid), false)
    return Object.keys(counts).sort()
  }
}

/** Flags of Stage and of Publish, whether Publish is told `readonly`, and the options that the target then has. */
const COMBINATIONS: readonly (readonly [
  stage: readonly string[],
  publish: readonly string[],
  readonly: boolean,
  target: string,
])[] = [
  [[], [], false, 'rw,nosuid,nodev,relatime'],
  [[], [], true, 'ro,nosuid,nodev,relatime'],
  [[], ['ro'], false, 'ro,nosuid,nodev,relatime'],
  [[], ['ro', 'rw'], false, 'rw,nosuid,nodev,relatime'],
  [['ro'], [], false, 'ro,nosuid,nodev,relatime'],
  [['ro'], [], true, 'ro,nosuid,nodev,relatime'],
  [['ro'], ['rw'], false, 'ro,nosuid,nodev,relatime'],
  [['ro'], ['ro'], false, 'ro,nosuid,nodev,relatime'],
  [['noexec'], ['ro'], false, 'ro,nosuid,nodev,noexec,relatime'],
  [['noexec'], ['exec'], false, 'rw,nosuid,nodev,noexec,relatime'],
  [['noexec', 'noatime'], [], true, 'ro,nosuid,nodev,noexec,noatime'],
  [['suid', 'dev'], ['suid', 'dev'], false, 'rw,relatime'],
  [['suid', 'dev'], ['nosuid'], false, 'rw,nosuid,relatime'],
  [[], ['suid', 'dev'], false, 'rw,nosuid,nodev,relatime'],
  [['noatime'], ['strictatime'], false, 'rw,nosuid,nodev'],
  [[], ['noatime', 'nodiratime', 'nosymfollow'], false, 'rw,nosuid,nodev,noatime,nodiratime,nosymfollow'],
]

void test('a repeated Publish leaves a mount that serves as it is, whatever Stage and Publish were told', async (t) => {
  await using sandbox = new Sandbox()
  // The binds are the same in each host mode, and one process serves so many volumes sooner.
  using plugin = await Plugin.start(sandbox, SHARED_DAEMON)
  for (const [index, [stage, publish, readonly, expected]] of COMBINATIONS.entries()) {
    await t.test(`Stage ${stage.join() || '-'}, Publish ${publish.join() || '-'}${readonly ? ', readonly' : ''}`, async () => {
      const volume = new Volume(sandbox, plugin, `volume-${index}`, mountCapability('MULTI_NODE_READER_ONLY', stage))
      const again = async (): Promise<void> => {
        const capability = mountCapability('MULTI_NODE_READER_ONLY', publish)
        await plugin.publish(volume.id, volume.staging, volume.target, { readonly, capability })
      }
      await volume.stage()
      await again()
      const before = layersAt(volume.target)
      const options = mountAt(volume.target).options.filter((one) => expected.split(',').includes(one) || one !== 'relatime')
      assert.deepEqual([...options].sort(), expected.split(',').sort())
      const consumer = await Consumer.at(sandbox, volume.target)
      for (let call = 0; call < 4; call++) await again()
      assert.deepEqual(await consumer.ends(), ['create EROFS', 'read ok'])
      assert.deepEqual(layersAt(volume.target), before)
      await volume.unpublish()
      await volume.unstage()
    })
  }
})

void test('a target whose options were changed gets them back in place', async (t) => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume', mountCapability('MULTI_NODE_READER_ONLY', ['noexec']))
  await volume.stage()
  const calls: Readonly<Record<string, () => Promise<void>>> = {
    Publish: async () => await volume.publish(volume.target, true),
    'a restart': async () => {
      await plugin.kill()
      await plugin.restart()
    },
  }
  for (const [what, call] of Object.entries(calls)) {
    for (const options of ['rw,noexec,nosuid,nodev', 'ro,exec,nosuid,nodev', 'ro,noexec,suid,dev,noatime']) {
      await t.test(`${what} after remount,${options}`, async () => {
        await volume.publish(volume.target, true)
        const { id } = mountAt(volume.target)
        mount('-o', `remount,bind,${options}`, volume.target)
        const consumer = await Consumer.at(sandbox, volume.target)
        await call()
        const ends = await consumer.ends()
        // The daemon of a plugin that is killed is killed too.
        if (what === 'Publish') assert.deepEqual(ends, ['create EROFS', 'read ok'])
        if (what === 'Publish') assert.equal(mountAt(volume.target).id, id)
        assert.deepEqual(optionsAt(volume.target).slice(0, 5), ['ro', 'nosuid', 'nodev', 'noexec', 'relatime'])
      })
    }
  }
})

void test('a target that is bound anew shows the old session or the new one at each moment, and never the disk below', async (t) => {
  for (const propagation of ['private', 'shared']) {
    for (const state of ['alive', 'dead', 'hung']) {
      await t.test(`the old session is ${state}, the folder ${propagation}`, async () => {
        await using sandbox = new Sandbox()
        mount('--bind', sandbox.path, sandbox.path)
        mount(`--make-${propagation}`, sandbox.path)
        using plugin = await Plugin.start(sandbox)
        const volume = new Volume(sandbox, plugin, 'volume')
        await volume.publish()
        const old = mountAt(volume.target).device
        if (state === 'dead') await volume.killDaemon()
        const consumer = state === 'hung' ? undefined : await Consumer.at(sandbox, volume.target)
        if (state === 'hung') await volume.stopDaemon()
        // The session at the target lives on, and a new one comes to the staging path.
        if (state === 'alive') await sandbox.run('umount', ['-l', volume.staging])
        await volume.publish()
        const ends = (await consumer?.ends()) ?? []
        const allowed = ['create EROFS', 'read ok', 'create ENOTCONN', 'read ENOTCONN', 'create ECONNABORTED', 'read ECONNABORTED']
        assert.deepEqual(
          ends.filter((one) => !allowed.includes(one)),
          [],
        )
        assert.notEqual(mountAt(volume.target).device, old)
        assert.equal(mountAt(volume.target).device, mountAt(volume.staging).device)
        assert.equal(layersAt(volume.target).length, 1)
        assert.ok(await serves(sandbox, volume.target))
        await volume.unpublish()
        await volume.unstage()
        // The daemon of the old session ends by itself, when its last mount is gone.
        await eventually('every daemon has ended', () => plugin.daemons().length === 0)
      })
    }
  }
})

void test('a Publish that fails to change a mount that is used leaves it as it is', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.publish()
  const before = layersAt(volume.target)
  assert.equal((await outcome(volume.publish(volume.target, true))).code, 'ALREADY_EXISTS')
  assert.deepEqual(layersAt(volume.target), before)
})
