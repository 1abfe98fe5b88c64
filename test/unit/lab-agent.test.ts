import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { NodeAgent } from '../../src/lab/agent/agent.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

const FOLDERS = 100

describe('the agent of the lab on a node', () => {
  it('looks at the disk below mounts, and takes off none of those that come meanwhile', async () => {
    await using sandbox = new Sandbox()
    const kubelet = sandbox.directory('kubelet')
    mount('--bind', kubelet, kubelet)
    mount('--make-private', kubelet)
    mount('--make-shared', kubelet)
    const folders = Array.from({ length: FOLDERS }, (_, index) => sandbox.directory('kubelet', `pod-${index}`))
    const files = folders.map((folder) => join(folder, 'probe'))
    for (const file of files) writeFileSync(file, '')
    const agent = new NodeAgent({ kubelet, scratch: sandbox.directory('scratch') }, new Libc(new AddonLoader()))
    const seen = async (remove?: string): Promise<unknown> => {
      const answer = await agent.answer({ id: 1, act: 'disk', args: { folders, ...(remove === undefined ? {} : { remove }) } })
      return 'result' in answer ? answer.result : answer.error
    }
    const script = 'for path; do mount -t tmpfs none "$path" || exit; done'
    const { child, ended } = sandbox.start('sh', ['-c', script, 'sh', ...folders])
    while (child.exitCode === null) {
      assert.deepEqual(await seen(), files)
      await setImmediate()
    }
    assert.equal((await ended).status, 0)
    assert.deepEqual(sandbox.mounts().toSorted(), [kubelet, ...folders].toSorted())
    assert.deepEqual([await seen('probe'), await seen()], [files, []])
  })
})
