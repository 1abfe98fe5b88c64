import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Finding } from '../../src/lab/driver/findings.ts'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import type { DriverSeen } from '../../src/lab/driver/seen.ts'
import { parseYaml } from '../../src/yaml.ts'
import { peer, STORE } from '../support/driver-run.ts'
import { DUMMY_FUSE, EXECUTABLE, ROOT } from '../support/paths.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { GO_DRIVER } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'

const GO = {
  name: 'go-driver',
  start: [GO_DRIVER, '--endpoint', 'unix://{socket}', '--node', '{node}'],
  callTimeout: 60,
  volume: { id: 'some-volume', attributes: { text: 'Hello' } },
  file: 'greeting.txt',
  content: 'Hello',
}

const LEAKING = {
  name: 'leaking-driver',
  start: peer('leaking-driver', '{socket}'),
  callTimeout: 60,
  fuse: false,
  volume: { id: 'some-volume', secrets: { password: 'MARKED-c0ffee-SECRET' } },
  file: 'file',
  content: 'content',
}

/** Mounts FUSE at each target, and stages nothing. */
const FUSE = {
  name: 'fuse-driver',
  start: peer('fuse-driver', '{socket}', DUMMY_FUSE),
  daemon: 'dummy-fuse',
  container: ['dummy-fuse'],
  callTimeout: 60,
  volume: { id: 'some-volume', staged: false },
  file: 'dummy-file.txt',
  content: 'Hello world!\n',
}

interface Checked extends Result {
  readonly seen: DriverSeen
  readonly findings: readonly Finding[]
}

async function check(sandbox: Sandbox, file: object): Promise<Checked> {
  const path = join(sandbox.path, 'driver.yaml')
  writeFileSync(path, JSON.stringify(file))
  const result = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'check', '--json', path], { timeout: 90_000 })
  return { ...result, ...(JSON.parse(result.stdout) as Pick<Checked, 'seen' | 'findings'>) }
}

describe('lab driver check', () => {
  it('finds out what a driver is, and that nothing is wrong', async () => {
    await using sandbox = new Sandbox()
    const { status, seen, findings } = await check(sandbox, GO)
    assert.deepEqual(findings, [])
    assert.equal(status, 0)
    const calls = ['NodeStageVolume', 'NodePublishVolume', 'NodeUnpublishVolume', 'NodeUnstageVolume']
    const names = ['prepare', 'start', 'GetPluginInfo', 'NodeGetCapabilities', ...calls, 'stop']
    assert.deepEqual(
      seen.steps.map(({ name }) => name),
      names,
    )
    assert.deepEqual(seen.plugin?.node, ['STAGE_UNSTAGE_VOLUME'])
    assert.deepEqual(
      seen.mounts.filter(({ fuse }) => fuse).map(({ at }) => at),
      ['staging', 'target'],
    )
    assert.deepEqual(
      seen.holders.map(({ comm, answers }) => [comm, answers]),
      [['go-driver', true]],
    )
    assert.equal(seen.read?.saw, 'right')
  })

  it('finds nothing wrong with examples/drivers/dummy-fuse-csi.yaml, whose daemon answers for its volumes', async () => {
    await using sandbox = new Sandbox()
    const text = readFileSync(join(ROOT, 'examples/drivers/dummy-fuse-csi.yaml'), 'utf8')
    const file = parseYaml(text.replace('/usr/local/bin/dummy-fuse-csi', EXECUTABLE)) as object
    const { status, seen, findings } = await check(sandbox, { ...file, callTimeout: 60 })
    assert.deepEqual(findings, [])
    assert.equal(status, 0)
    assert.ok(seen.holders.some(({ comm, answers }) => comm === 'dummy-fuse' && answers === true))
  })

  it('says which field of the file is wrong, and what is there instead', async () => {
    await using sandbox = new Sandbox()
    const { status, findings } = await check(sandbox, { ...GO, daemon: 'go-helper', file: 'other.txt' })
    assert.equal(status, 1)
    const [daemon, file] = findings
    assert.equal(findings.length, 2)
    assert.deepEqual([daemon?.about, file?.about], ['file', 'file'])
    assert.match(daemon?.what ?? '', /^daemon: go-helper is no process that holds \/dev\/fuse; it is go-driver\[\d+\] that answers/)
    assert.match(file?.what ?? '', /^other\.txt cannot be read: No such file or directory \(the volume has greeting\.txt\)/)
  })

  it('says what the file holds, and that the id of the first file is still there', async () => {
    await using sandbox = new Sandbox()
    const { status, findings } = await check(sandbox, { ...GO, volume: { ...GO.volume, id: 'CHANGE-ME' }, content: 'Bye' })
    assert.equal(status, 1)
    assert.deepEqual(
      findings.map(({ about, what }) => [about, what.replace(/;.*/, '')]),
      [
        ['file', 'volume.id is still CHANGE-ME'],
        ['file', 'greeting.txt holds "Hello", and not the content that the file says'],
      ],
    )
  })

  it('says that a volume which the driver does not know may have to be created', async () => {
    await using sandbox = new Sandbox()
    const { create: _create, ...file } = STORE
    const volume = { ...STORE.volume, callSecrets: { nodeStage: { of: 'of-stage' } }, id: 'some-volume' }
    const known = { fuse: false, file: 'file', content: 'content' }
    const { status, seen, findings } = await check(sandbox, { ...file, ...known, volume, callTimeout: 5 })
    assert.equal(status, 1)
    assert.deepEqual(
      seen.steps.filter(({ failure }) => failure !== undefined).map(({ name }) => name),
      ['NodeStageVolume'],
    )
    assert.match(findings[0]?.what ?? '', /^NodeStageVolume .*there is no volume some-volume/)
    assert.deepEqual(
      findings.slice(1).map(({ about, what }) => [about, what.replace(/^.*: /, '')]),
      [['file', 'say create']],
    )
  })

  it('says what the volume has when populate fails', async () => {
    await using sandbox = new Sandbox()
    const { status, findings } = await check(sandbox, { ...GO, populate: 'echo Hello > {target}/other.txt' })
    assert.equal(status, 1)
    assert.match(
      findings[0]?.what ?? '',
      /^populate: exit status 1: .*Read-only file system \(the volume has greeting\.txt\); .*leave populate out/,
    )
    assert.equal(findings.length, 1)
  })

  it('names the process that answers for the volume when the file has no daemon', async () => {
    await using sandbox = new Sandbox()
    const text = readFileSync(join(ROOT, 'examples/drivers/dummy-fuse-csi.yaml'), 'utf8')
    const file = parseYaml(text.replace('/usr/local/bin/dummy-fuse-csi', EXECUTABLE).replace('daemon: dummy-fuse', '')) as object
    const { status, findings } = await check(sandbox, { ...file, callTimeout: 60 })
    assert.equal(status, 1)
    assert.match(
      findings[0]?.what ?? '',
      /^dummy-fuse\[\d+\] answers for the volume and is not the process of start; say daemon: dummy-fuse,/,
    )
    assert.equal(findings.length, 1)
  })

  it('says that a volume is no FUSE mount and is staged, and shows no secret', async () => {
    await using sandbox = new Sandbox()
    const { status, stdout, findings } = await check(sandbox, {
      ...LEAKING,
      fuse: true,
      volume: { ...LEAKING.volume, staged: false },
    })
    assert.equal(status, 1)
    assert.match(
      findings.map(({ what }) => what).join('\n'),
      /^NodeGetCapabilities: the driver stages volumes \(STAGE_UNSTAGE_VOLUME\)/,
    )
    const staged = await check(sandbox, { ...LEAKING, fuse: true })
    assert.match(staged.findings[0]?.what ?? '', /^the volume is no FUSE mount \(tmpfs of \/\/server\/\*\*\*stripped\*\*\*\)/)
    assert.equal(staged.findings.length, 1)
    assert.ok(!`${stdout}${staged.stdout}`.includes('MARKED'))
  })

  for (const code of ['INVALID_ARGUMENT', 'INTERNAL'])
    it(`calls a driver that refuses a mount option by ${code} once, and names the field of the file`, async () => {
      await using sandbox = new Sandbox()
      const refused = {
        ...FUSE,
        env: { FUSE_DRIVER_REFUSES: code },
        volume: { ...FUSE.volume, mountFlags: ['noatime', 'speed=high'] },
      }
      const { status, seen, findings } = await check(sandbox, refused)
      assert.equal(status, 1)
      const [step] = seen.steps.filter(({ failure }) => failure !== undefined)
      assert.deepEqual([step?.name, step?.attempts], ['NodePublishVolume', 1])
      assert.deepEqual(findings, [
        {
          about: 'file',
          what: `NodePublishVolume: the driver refuses volume.mountFlags (speed): ${code}: fuse: unknown option 'speed=high'`,
        },
      ])
      assert.deepEqual(
        seen.log.filter((line) => line === 'NodePublishVolume'),
        ['NodePublishVolume'],
      )
    })

  for (const [code, attempts] of [
    ['UNAVAILABLE', 2],
    ['PERMISSION_DENIED', 1],
  ] as const)
    it(`makes NodeGetCapabilities ${attempts === 1 ? 'once' : 'again'} where it fails with ${code}, and says what came of it`, async () => {
      await using sandbox = new Sandbox()
      const { status, seen, findings } = await check(sandbox, { ...FUSE, env: { FUSE_DRIVER_UNABLE: code } })
      const well = attempts === 2
      assert.equal(status, well ? 0 : 1)
      const step = seen.steps.find(({ name }) => name === 'NodeGetCapabilities')
      assert.deepEqual([step?.attempts, seen.plugin?.name], [attempts, well ? 'fuse-driver' : undefined])
      assert.deepEqual(
        findings.map(({ about, what }) => [about, what.replace(/: \S*NodeGetCapabilities: /, ': ')]),
        well ? [] : [['driver', `NodeGetCapabilities: ${code}: not yet`]],
      )
      assert.ok(seen.log.includes('NodeGetCapabilities'))
    })

  it('says what is wrong in words, a line each, and where all is that the driver said', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'driver.yaml')
    writeFileSync(path, JSON.stringify({ ...GO, volume: { ...GO.volume, staged: false } }))
    const { status, stdout } = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'check', path], {
      timeout: 90_000,
      env: { ...process.env, TMPDIR: sandbox.path },
    })
    assert.equal(status, 1, stdout)
    assert.match(
      stdout,
      /^wrong {6}file: NodeGetCapabilities: the driver stages volumes \(STAGE_UNSTAGE_VOLUME\), and the file says/m,
    )
  })
})

describe('lab driver init', () => {
  it('asks a running plugin and writes a file that can be read', async () => {
    await using sandbox = new Sandbox()
    const socket = join(sandbox.path, 'csi.sock')
    const plugin = sandbox.start(GO_DRIVER, ['--endpoint', `unix://${socket}`, '--node', 'some-node'])
    const asked = async (): Promise<Result | undefined> => {
      const result = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'init', '--socket', socket])
      return result.status === 0 ? result : undefined
    }
    const { stdout } = await eventually('the plugin answers', asked)
    plugin.child.kill('SIGTERM')
    await plugin.ended
    const { start, volume, create } = parseDriver(stdout, 'first.yaml')
    assert.deepEqual(start.slice(0, 2), [GO_DRIVER, '--endpoint'])
    assert.match(start[2] ?? '', /^unix:\/\/\/var\/lib\/kubelet\/plugins\/.*csi\.sock$/)
    assert.equal(start[4], 'lab-node')
    assert.deepEqual([volume.staged, create], [true, undefined])
  })

  it('ends with 1 where no plugin listens', async () => {
    await using sandbox = new Sandbox()
    const { status, stderr } = await sandbox.run(EXECUTABLE, ['lab', 'driver', 'init', '--socket', join(sandbox.path, 'none.sock')])
    assert.equal(status, 1)
    assert.match(stderr, /cannot ask the plugin at .*none\.sock: .*is that the socket of a CSI plugin that runs\?/)
  })
})
