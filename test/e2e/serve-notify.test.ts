import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FullNotifySocket } from '../support/full-notify-socket.ts'
import { serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

void test('serve goes on beside a notify socket that nobody reads, ends by SIGTERM, and says READY=1 once it is read', async () => {
  await using sandbox = new Sandbox()
  using notify = new FullNotifySocket(sandbox.path)
  using plugin = await Plugin.start(sandbox, { env: { NOTIFY_SOCKET: notify.path } })
  const volume = new Volume(sandbox, plugin, 'volume')
  await volume.stage()
  await volume.publish()
  assert.ok(await serves(sandbox, volume.target))
  await volume.unpublish()
  await volume.unstage()
  assert.equal((await plugin.stop()).status, 0)
  await plugin.restart()
  notify.read()
  await eventually('READY=1 arrives', () => notify.messages.some((text) => text.startsWith('READY=1')))
  assert.equal((await plugin.stop()).status, 0)
})
