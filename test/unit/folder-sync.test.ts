import assert from 'node:assert/strict'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FolderSync } from '../../src/os/descriptors/folder-sync.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('FolderSync', () => {
  it('syncs nothing where nothing was changed', async () => {
    await new FolderSync('/nonexistent/folder').synced()
  })

  it('fails for every change that is not on the disk, and syncs it once the cause is gone', async () => {
    await using sandbox = new Sandbox()
    const folder = join(sandbox.path, 'folder')
    const sync = new FolderSync(folder)
    sync.change()
    await Promise.all([1, 2, 3].map(() => assert.rejects(sync.synced(), /ENOENT/)))
    await assert.rejects(sync.synced(), /ENOENT/)
    mkdirSync(folder)
    await sync.synced()
    rmdirSync(folder)
    await sync.synced()
  })

  it('answers for changes that come while it syncs', async () => {
    await using sandbox = new Sandbox()
    const sync = new FolderSync(sandbox.path)
    let settled = 0
    const waiting: Promise<void>[] = []
    for (let i = 0; i < 50; i++) {
      writeFileSync(join(sandbox.path, `file-${i}`), '')
      sync.change()
      waiting.push(
        sync.synced().then(() => {
          settled++
        }),
      )
    }
    await waiting[0]
    assert.ok(settled < 50, 'the first change does not wait for the others')
    await Promise.all(waiting)
    assert.equal(settled, 50)
  })
})
