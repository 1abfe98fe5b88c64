import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { GREETING, mountAt, optionsAt } from '../support/mounts.ts'
import { EXECUTABLE } from '../support/paths.ts'
import type { Plugin } from '../support/plugin.ts'
import { EXAMPLES, keptOfPrograms, programFile, ProgramVolume, serveProgram } from '../support/program.ts'
import { CONTENT, PROGRAMS } from '../support/program-storage.ts'
import { Sandbox } from '../support/sandbox.ts'
import { assertNothingLeft, killShielded, processesOfShielded } from '../support/shielded-program.ts'
import { complaints, reading, steadyReader } from '../support/steady-reader.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

const SERVICE = ['--fuse-host', 'service']
const OK = { code: 'OK', details: '' }

/** Seconds of a call: a busy machine takes long to start three processes. */
const CALL = 60

/** Those whose life is tried here. The others take minutes; DUMMY_FUSE_SHIELDED_PROGRAMS=all has them all. */
const TRIED = process.env.DUMMY_FUSE_SHIELDED_PROGRAMS === 'all' ? Object.keys(PROGRAMS) : ['sshfs']

/** bindfs, unless a file beside its source says that the storage is broken, or does not answer. */
const BREAKABLE = {
  name: 'peer',
  command: [
    ...['sh', '-c'],
    'if test -e "$0.broken"; then echo the storage is broken >&2; exit 3; fi; test -e "$0.silent" && exec tail -f "$0/dummy-file.txt"; exec bindfs -f "$0" "$1"',
    ...['{param:source}', '{target}'],
  ],
  parameters: { source: { pattern: '/.*' } },
  shield: { stableInodes: true },
}

/** A folder with a file for a reader. */
function source(sandbox: Sandbox, name = 'source'): string {
  const path = sandbox.directory(name)
  writeFileSync(join(path, 'dummy-file.txt'), GREETING)
  return path
}

/** Reads a volume by its path, in a process of its own, which waits as long as no program serves. */
async function reads(sandbox: Sandbox, volume: ProgramVolume, name = 'dummy-file.txt'): Promise<string> {
  const { stdout, stderr } = await sandbox.run('cat', [join(volume.target, name)], { timeout: 60_000 })
  return stdout + stderr
}

/** What NodeGetVolumeHealth says. */
async function health(plugin: Plugin, { id }: ProgramVolume): Promise<readonly string[]> {
  const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: id })
  return (volumeHealth?.healthStatuses ?? []).map(({ reason, message }) => `${reason}: ${message}`)
}

/** What `dummy-fuse-csi status` prints. */
async function statusOf(sandbox: Sandbox, { stateDir }: Plugin): Promise<string> {
  return (await sandbox.run(EXECUTABLE, ['status', '--state-dir', stateDir], { timeout: 60_000 })).stdout
}

/** A busy machine may take longer for an answer than health waits. */
async function isHealthy(plugin: Plugin, volume: ProgramVolume): Promise<void> {
  await eventually('the volume is healthy', async () => (await health(plugin, volume)).length === 0, 60_000)
}

describe('serve --program --fuse-host service', () => {
  it('has readers of bindfs not notice that it, its shield and the plugin are killed, and leaves nothing', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, join(EXAMPLES, 'bindfs.yaml'), { args: SERVICE, callDeadline: CALL })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) }, deadline: CALL * 1000 })
    // Every host mode mounts over what is there.
    mkdirSync(join(volume.staging, 'not-empty'))
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK], plugin.log())
    const { device } = mountAt(volume.staging)
    const { keep } = processesOfShielded(volume)
    const reader = steadyReader(sandbox, volume.target)
    await reading(reader)
    await isHealthy(plugin, volume)
    assert.deepEqual(await volume.stage(), OK)
    writeFileSync(join(volume.target, 'written'), 'by a pod\n')

    await killShielded(volume, 'program')
    assert.equal(await reads(sandbox, volume), GREETING)
    await killShielded(volume, 'shield')
    assert.equal(await reads(sandbox, volume), GREETING)
    await plugin.kill()
    await killShielded(volume, 'shield', 'program')
    assert.equal(await reads(sandbox, volume, 'written'), 'by a pod\n')
    await plugin.restart()
    assert.doesNotMatch(plugin.log(), /successfully remounted /)
    await isHealthy(plugin, volume)
    const shown = new RegExp(`volume "v1": healthy\\n.* MOUNTED {2}daemon ${keep}\\n {2}program {3}bindfs\\n`)
    await eventually('status shows it', async () => shown.test(await statusOf(sandbox, plugin)), 60_000)
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    assert.equal(await reads(sandbox, volume), GREETING)
    assert.deepEqual(await complaints(sandbox, reader), [], plugin.log())
    assert.deepEqual([mountAt(volume.staging).device, mountAt(volume.target).device], [device, device])

    // The one process that nothing replaces.
    process.kill(keep, 'SIGKILL')
    await eventually('the volume is not served any more', async () => (await health(plugin, volume)).length > 0)
    assert.deepEqual(await volume.publish(), OK, plugin.log())
    assert.equal(await reads(sandbox, volume), GREETING)
    await isHealthy(plugin, volume)

    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK], plugin.log())
    await assertNothingLeft(sandbox, plugin, [volume])
    assert.deepEqual(sandbox.processes(), [plugin.pid])
  })

  it('says what it waits for while no program comes up or one hangs, keeps the session, and ends it when it is unstaged', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, programFile(sandbox, BREAKABLE), { args: SERVICE, callDeadline: CALL })
    const [away, hangs] = ['away', 'hangs'].map(
      (id) => new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox, id) }, deadline: CALL * 1000 }, id),
    ) as [ProgramVolume, ProgramVolume]
    const broken = join(sandbox.path, 'away.broken')
    for (const volume of [away, hangs]) assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK], plugin.log())
    const { device } = mountAt(away.staging)

    writeFileSync(broken, '')
    process.kill(processesOfShielded(away).program, 'SIGKILL')
    const WAITS =
      /does not answer: no sh has served it for [\d.]+ s \(it ended with exit status 3\); its shield starts it again by itself, and gives up after 300 s/
    await eventually('no program comes up', async () => WAITS.test((await health(plugin, away)).join()), 60_000)
    const { program } = processesOfShielded(hangs)
    await stop(program)
    const hung =
      "its sh does not answer; if it hangs, kill it where the plugin runs ('dummy-fuse-csi shield status' names its process): its shield starts it again"
    await eventually('the program hangs', async () => (await health(plugin, hangs)).join().includes(hung), 60_000)
    const saysBoth = (text: string): boolean => WAITS.test(text) && text.includes(hung)
    await eventually('status says the same', async () => saysBoth(await statusOf(sandbox, plugin)), 60_000)
    assert.deepEqual([await away.stage(), await away.publish()], [OK, OK])

    // A plugin that knows nothing of an earlier answer does not replace the session either.
    await plugin.kill()
    await plugin.restart()
    assert.match(plugin.log(), /failed to remount .*away.*: .* does not answer: /)
    const isKept = ({ code, details }: typeof OK): boolean => code === 'UNAVAILABLE' && WAITS.test(details)
    await eventually('the session is kept', async () => isKept(await away.stage()), 60_000)
    assert.equal(mountAt(away.staging).device, device)

    // As the message says.
    process.kill(program, 'SIGKILL')
    assert.equal(await reads(sandbox, hangs), GREETING)
    rmSync(broken)
    assert.equal(await reads(sandbox, away), GREETING)
    await eventually('the volume is staged', async () => (await away.stage()).code === 'OK', 60_000)
    await isHealthy(plugin, away)
    assert.equal(mountAt(away.staging).device, device)

    writeFileSync(broken, '')
    process.kill(processesOfShielded(away).program, 'SIGKILL')
    await stop(processesOfShielded(hangs).program)
    for (const volume of [away, hangs]) assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK], plugin.log())
    await assertNothingLeft(sandbox, plugin, [away, hangs])
    assert.deepEqual(sandbox.processes(), [plugin.pid])

    const failed = await away.stage()
    assert.equal(failed.code, 'UNAVAILABLE')
    assert.match(failed.details, /peer ended with exit status 1 before it had mounted: .*the storage is broken/)
    rmSync(broken)
    writeFileSync(join(sandbox.path, 'away.silent'), '')
    const asked = { parameters: { source: join(sandbox.path, 'away') }, deadline: 5000 }
    assert.equal((await away.stage(asked)).code, 'DEADLINE_EXCEEDED')
    const isUndone = (): boolean => sandbox.processes().length === 1 && keptOfPrograms(plugin).length === 0
    await eventually('the start is undone', isUndone, 60_000)
    await assertNothingLeft(sandbox, plugin, [away])
  })

  it('is refused for a file that it cannot serve, also by --check', async () => {
    await using sandbox = new Sandbox()
    const file = programFile(sandbox, { ...BREAKABLE, start: 'background' })
    const args = ['serve', '--program', file, ...SERVICE, '--state-dir', join(sandbox.path, 'state')]
    const refused = await sandbox.run(EXECUTABLE, args)
    assert.equal(refused.status, 2)
    assert.match(refused.stderr, /peer cannot be served with --fuse-host service: its file says start: background/)
    const checked = await sandbox.run(EXECUTABLE, [...args, '--check'])
    assert.equal(checked.status, 1)
    assert.match(checked.stdout, /^refused {2}peer cannot be served with --fuse-host service: /m)
    const sshfs = ['serve', '--program', join(EXAMPLES, 'sshfs.yaml'), ...SERVICE, '--check']
    assert.match((await sandbox.run(EXECUTABLE, sshfs)).stdout, /^note {5}sshfs may lose a write .* its volumes are read-only$/m)
  })

  for (const name of TRIED)
    it(
      `has ${name} of its example serve a volume through its deaths, read-only where it may lose a write`,
      { timeout: 280_000 },
      async () => {
        await using sandbox = new Sandbox()
        const prepare = PROGRAMS[name]
        assert.ok(prepare !== undefined)
        const { fsType, writable, server: _, ...asked } = await prepare(sandbox)
        const options = { args: SERVICE, callDeadline: CALL, env: { HOME: sandbox.path } }
        using plugin = await serveProgram(sandbox, join(EXAMPLES, `${name}.yaml`), options)
        const volume = new ProgramVolume(sandbox, plugin, { ...asked, deadline: CALL * 1000 })
        assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK], plugin.log())
        assert.equal(mountAt(volume.staging).fsType, fsType)
        const isReadOnly = ['sshfs', 's3fs', 'rclone', 'gocryptfs'].includes(name)
        assert.equal(plugin.log().includes('with --fuse-host service its volumes are read-only'), isReadOnly)
        assert.equal(optionsAt(volume.target).includes('ro'), isReadOnly)
        if (writable && !isReadOnly) writeFileSync(join(volume.target, 'written'), 'by a pod\n')
        for (const which of [['program'], ['shield', 'program']] as const) {
          await killShielded(volume, ...which)
          assert.equal(await reads(sandbox, volume, 'f'), CONTENT, plugin.log())
        }
        assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK], plugin.log())
        await assertNothingLeft(sandbox, plugin, [volume])
      },
    )
})
