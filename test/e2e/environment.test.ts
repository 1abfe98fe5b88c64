import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** Environments that a plugin may be started with, as words for env(1). */
const ENVIRONMENTS: Readonly<Record<string, readonly string[]>> = {
  'with nothing in it': ['-i'],
  'with a PATH that leads nowhere': ['PATH=/nonexistent'],
  'of a locale in which an upper-case i has a dot': ['LC_ALL=tr_TR.UTF-8', 'LANG=tr_TR.UTF-8', 'LANGUAGE=tr'],
  'of a locale and a time zone that do not exist': ['LC_ALL=xx_YY.nonsense', 'TZ=:Nowhere/Land'],
}

describe('a plugin that is started in an environment', () => {
  for (const [title, args] of Object.entries(ENVIRONMENTS)) {
    it(`${title} takes a volume through its life, its daemon's death and a restart`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, { by: ['/usr/bin/env', ...args] })
      const volume = new Volume(sandbox, plugin, 'volume')
      await volume.publish()
      await volume.killDaemon()
      assert.deepEqual(await volume.reasons(), ['DaemonDead'])
      await volume.publish()
      assert.ok(await serves(sandbox, volume.target))
      await plugin.kill()
      await plugin.restart()
      assert.ok(await serves(sandbox, volume.target))
      assert.deepEqual(await volume.reasons(), [])
      await volume.unpublish()
      await volume.unstage()
      assert.deepEqual([plugin.entries(), sandbox.mounts()], [[], []])
    })
  }
})
