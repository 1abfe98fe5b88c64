import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CONTENT, freePort, type ProgramStorage } from '../support/program-storage.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** Milliseconds for one step. */
const STEP = 60_000

/** Who logs in to the cluster, and what each may do there. */
const CAPABILITIES = {
  'mon.': { mon: 'allow *' },
  'osd.0': { mon: 'allow profile osd', osd: 'allow *' },
  'mds.a': { mon: 'allow profile mds', osd: 'allow *', mds: 'allow' },
  'client.admin': { mon: 'allow *', osd: 'allow *', mds: 'allow *' },
} as const

/** A cluster of one monitor, one OSD with its objects in memory, and one MDS on the loopback interface. Its file system has the file `f`. */
export async function cephfs(sandbox: Sandbox): Promise<ProgramStorage> {
  const [port, fsid, osd] = [await freePort(), randomUUID(), randomUUID()]
  const at = (name: string): string => join(sandbox.path, name)
  const run = async (program: string, ...words: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await sandbox.run(program, words, { timeout: STEP })
    assert.equal(status, 0, `${program} ${words.join(' ')}: ${stderr}`)
    return stdout.trim()
  }
  const monitors = `v1:127.0.0.1:${port}`
  const [conf, keyring, map] = [at('ceph.conf'), at('keyring'), at('map')]
  const folders = Object.fromEntries(['mon', 'osd', 'mds'].map((name) => [`${name} data`, sandbox.directory(name)]))
  writeFileSync(conf, configuration({ ...folders, fsid, keyring, 'mon host': monitors, 'run dir': sandbox.path }, at('$name')))
  const ceph = async (...words: readonly string[]): Promise<string> => await run('ceph', '--conf', conf, ...words)
  const start = (program: string, id: string): void => {
    sandbox.start(program, ['--conf', conf, '--id', id, '--foreground'])
  }

  await run('ceph-authtool', '--create-keyring', keyring)
  for (const [name, capabilities] of Object.entries(CAPABILITIES)) {
    const words = Object.entries(capabilities).flatMap(([service, text]) => ['--cap', service, text])
    await run('ceph-authtool', keyring, '--gen-key', '--name', name, ...words)
  }
  await run('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', `[${monitors}]`, map)
  await run('ceph-mon', '--conf', conf, '--id', 'a', '--mkfs', '--monmap', map, '--keyring', keyring)
  start('ceph-mon', 'a')
  await ceph('--connect-timeout', String(STEP / 1000), 'mon', 'stat')
  assert.equal(await ceph('osd', 'new', osd), '0')
  await run('ceph-osd', '--conf', conf, '--id', '0', '--mkfs', '--osd-uuid', osd)
  start('ceph-osd', '0')
  for (const pool of ['metadata', 'data']) await ceph('osd', 'pool', 'create', pool, '8')
  await ceph('fs', 'new', 'files', 'metadata', 'data')
  start('ceph-mds', 'a')
  await eventually('the MDS is active', async () => (await ceph('mds', 'stat')).includes('up:active'), STEP)

  const mounted = sandbox.directory('mounted')
  await run('ceph-fuse', '--conf', conf, mounted)
  writeFileSync(join(mounted, 'f'), CONTENT)
  await run('umount', mounted)
  const key = await run('ceph-authtool', '--print-key', '--name', 'client.admin', keyring)
  return { parameters: { monitors }, secrets: { key }, fsType: 'fuse.ceph-fuse', writable: true }
}

/** The text of a ceph.conf. `file`: the path of the files of a process, without their endings. */
function configuration(own: Readonly<Record<string, string>>, file: string): string {
  const lines = {
    ...own,
    'ms bind msgr2': 'false',
    'public addr': '127.0.0.1',
    'cluster addr': '127.0.0.1',
    'osd objectstore': 'memstore',
    'memstore device bytes': String(256 * 1024 * 1024),
    'osd pool default size': '1',
    'osd crush chooseleaf type': '0',
    'mon allow pool size one': 'true',
    'admin socket': `${file}.asok`,
    'log file': `${file}.log`,
    'pid file': `${file}.pid`,
  }
  return ['[global]', ...Object.entries(lines).map(([name, value]) => `${name} = ${value}`), ''].join('\n')
}
