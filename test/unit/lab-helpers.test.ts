import assert from 'node:assert/strict'
import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Harness } from '../../src/lab/cell/harness.ts'
import { Helpers } from '../../src/lab/cell/helpers.ts'
import { Timeline } from '../../src/lab/cell/timeline.ts'
import { startClock } from '../../src/lab/clock.ts'
import type { HelperSpec } from '../../src/lab/driver/spec.ts'
import { helperKilled } from '../../src/lab/failures/helper-killed.ts'
import { storageDown } from '../../src/lab/failures/storage-down.ts'
import { storageHung } from '../../src/lab/failures/storage-hung.ts'
import { until } from '../../src/lab/wait.ts'

const HELPER: HelperSpec = {
  name: 'server',
  command: ['/bin/sh', '-c', 'exit 0'],
  ready: undefined,
  belongs: 'node',
  storage: true,
}

describe('a helper that has no process that the lab knows', () => {
  it('is an error if it ended when it was ready, as one that goes to the background', async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'lab-helpers-'))
    const file = join(folder.path, 'pid')
    const command = ['/bin/sh', '-c', `echo $$ > ${file}.new; mv ${file}.new ${file}`]
    const ready = `until test -e ${file}; do :; done; while kill -0 $(< ${file}) 2> /dev/null; do :; done`
    const helpers = new Helpers([{ ...HELPER, command, ready }], {}, new Timeline(startClock()))
    await assert.rejects(
      helpers.start(),
      /^Error: the helper server ended when it was ready \(exit status 0\); its command has to stay in the foreground$/,
    )
  })

  for (const [failure, storage] of [
    [storageHung, true],
    [storageDown, true],
    [helperKilled, false],
  ] as const)
    it(`cannot be struck by ${failure.id}`, async () => {
      const timeline = new Timeline(startClock())
      const helpers = new Helpers([{ ...HELPER, storage }], {}, timeline)
      await helpers.start()
      await until('it has ended', () => timeline.events([]).some(({ kind }) => kind === 'end'))
      const harness = { timeline, storage: helpers.storage, helpers: helpers.others } as unknown as Harness
      await assert.rejects(
        async () => await failure.strike(harness),
        /^Error: the helper server cannot be struck, because its process has ended; its command has to stay in the foreground$/,
      )
      assert.ok(timeline.events([]).every(({ kind }) => kind !== 'failure'))
    })
})
