import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CHECKOUT_INSIDE, Machine } from '../support/nspawn.ts'
import { eventually } from '../support/wait.ts'

const UNIT = 'shield.service'

/** As in docs/shield.md. What the kernel has cached, it does not ask for again by itself. */
const fileFor = (folder: string, options = ''): string => `[Unit]
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=${CHECKOUT_INSIDE}/dist/dummy-fuse-csi shield ${options} /srv/view -- bindfs -f -o attr_timeout=3600,entry_timeout=3600 ${folder} {target}
FileDescriptorStoreMax=2
Restart=on-abnormal
RestartSec=0
`

describe('the shield as a unit of systemd', () => {
  it('has its mount outlive it where systemd stores its descriptors, without a keeper of its own', async () => {
    await using machine = await Machine.create()
    for (const folder of ['data', 'other', 'view']) mkdirSync(join(machine.root, 'srv', folder))
    writeFileSync(join(machine.root, 'srv/data/file'), 'text\n')
    writeFileSync(join(machine.root, 'srv/other/file'), 'changed\n')
    const unit = join(machine.root, 'etc/systemd/system', UNIT)
    writeFileSync(unit, fileFor('/srv/data'))
    await machine.boot()
    await machine.systemctl('start', UNIT)
    const mainPid = async (): Promise<number> => Number(await machine.property(UNIT, 'MainPID'))
    const killed = await mainPid()
    assert.equal(await machine.output('cat', [`/proc/${killed}/comm`]), 'dummy-shield')
    // It holds the file, and reads it when it is told to.
    const script =
      'exec 3</srv/view/file; touch /run/held; until [ -e /run/go ]; do sleep 0.1; done; cat <&3 >/run/got; touch /run/end'
    await machine.output('systemd-run', ['--unit=holder', 'sh', '-c', script])
    const has = async (path: string): Promise<boolean> => (await machine.run('test', ['-e', path])).status === 0
    await eventually('the file is held', async () => await has('/run/held'), 60_000)
    await machine.output('kill', ['-9', String(killed)])
    await machine.output('touch', ['/run/go'])
    await eventually('the file is read', async () => await has('/run/end'), 60_000)
    assert.equal(await machine.output('cat', ['/run/got']), 'text')
    assert.notEqual(await mainPid(), killed)
    assert.match(await machine.journal(UNIT), /took \/srv\/view over from a shield that was killed/)
    // Another command in the unit is what the next successor starts. What the mount has, stays.
    writeFileSync(unit, fileFor('/srv/other', '--read-only --stable-inodes --user nobody'))
    await machine.systemctl('daemon-reload')
    await machine.output('kill', ['-9', String(await mainPid())])
    const changed = async (): Promise<boolean> => (await machine.output('cat', ['/srv/view/file'])) === 'changed'
    await eventually('the other folder is served', changed, 60_000)
    const shown = await machine.output(`${CHECKOUT_INSIDE}/dist/dummy-fuse-csi`, ['shield', 'status'])
    assert.match(shown, /writable, inode numbers of the shield, daemons run as the shield does/)
    for (const option of ['--stable-inodes', '--read-only', '--user'])
      assert.match(await machine.journal(UNIT), new RegExp(`that was killed had no ${option}: that stays so until`))
    await machine.systemctl('stop', UNIT)
    assert.equal(await machine.property(UNIT, 'Result'), 'success')
    assert.equal((await machine.run('mountpoint', ['-q', '/srv/view'])).status, 32)
    // Nothing of it is left that the next one would take over.
    await machine.systemctl('start', UNIT)
    assert.equal(await machine.output('cat', ['/srv/view/file']), 'changed')
  })
})
