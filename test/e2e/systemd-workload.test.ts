import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { InstalledPlugin } from '../support/installed-plugin.ts'
import { DEAD_READS } from '../support/mounting.ts'
import { eventually } from '../support/wait.ts'

/** Starts the template for a file, and returns the instance's name. */
async function startWorkload({ machine }: InstalledPlugin, file: string, options: string): Promise<string> {
  writeFileSync(join(machine.root, 'etc/default/dummy-fuse-csi'), `DUMMY_FUSE_WORKLOAD_OPTS="${options}"\n`)
  const unit = `dummy-fuse-workload@${await machine.output('systemd-escape', ['--path', file])}.service`
  await machine.systemctl('start', unit)
  await eventually('the workload reads', async () => (await machine.journal(unit)).includes('reading'))
  return unit
}

describe('dummy-fuse-workload@.service', () => {
  it('ends or goes on at a failed read, as it is told', async (t) => {
    await using plugin = await InstalledPlugin.start()
    const { machine } = plugin
    await t.test('ends at the first failed read and is started until the volume is restored', async () => {
      const [target = ''] = await plugin.publish('volume', 'pod')
      const file = `${target}/dummy-file.txt`
      const unit = await startWorkload(plugin, file, '--exit-on-error --keep-open --read-interval 0.1')
      await machine.output('kill', ['-9', String(await plugin.mainPid())])
      const journal = await eventually(
        'the workload reads again',
        async () => {
          const text = await machine.journal(unit)
          return /read error: [^]*reading\n[^]*reading$/.test(text.trimEnd()) && !/error[^\n]*$/.test(text.trimEnd())
            ? text
            : undefined
        },
        30_000,
      )
      assert.match(journal, new RegExp(`opened file ${file}`))
      assert.match(journal, new RegExp(`read error: read ${file}: (${DEAD_READS.join('|')})$`, 'm'))
      assert.ok(Number(await machine.property(unit, 'NRestarts')) >= 1)
      await machine.systemctl('stop', unit)
    })

    await t.test('goes on without --exit-on-error, failing through its open file even when the volume is restored', async () => {
      const [target = ''] = await plugin.publish('other', 'pod')
      const unit = await startWorkload(plugin, `${target}/dummy-file.txt`, '--keep-open --read-interval 0.1')
      const killed = await plugin.mainPid()
      await machine.output('kill', ['-9', String(killed)])
      await plugin.restored(target)
      const errors = async (): Promise<number> => (await machine.journal(unit)).split('read error: ').length
      const before = await errors()
      await eventually('the workload fails on', async () => (await errors()) > before + 2)
      assert.equal(await machine.property(unit, 'NRestarts'), '0')
    })
  })
})
