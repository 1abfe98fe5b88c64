import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Records, recordsFolder } from '../../src/fused/records.ts'
import { Logger } from '../../src/log.ts'
import { SyncedSoon } from '../../src/os/synced-soon.ts'
import { Controller } from '../../src/rpc/csi_pb.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { MountCache } from '../../src/volumes/mount-cache.ts'
import { VolumeRegistry } from '../../src/volumes/registry.ts'
import { Disk, LOSSES } from '../power/disk.ts'
import { readTrace, type Step, traceWords } from '../power/trace.ts'
import { FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { attach, detach } from '../support/strace.ts'
import { Volume } from '../support/volume.ts'

const ROLE = { words: ['--role', 'identity,node,controller'] }

/** Volumes whose lives are traced. DUMMY_FUSE_POWER_VOLUMES sets another number. */
const VOLUMES = Number(process.env.DUMMY_FUSE_POWER_VOLUMES ?? 4)

/** Of so many states one is given to a plugin that really starts. */
const EACH = 30

/** The folders of a plugin's state, which are there when tracing begins. */
const FOLDERS = ['mountcache', 'mountcache/staged', 'mountcache/published', 'volumes']

/** A call, and what must be so once it has answered. */
type Call = 'create' | 'stage' | 'publish' | 'unpublish' | 'unstage' | 'delete'

/** Each volume's whole life, one after the other, the last steps of the first ones among the first steps of the last ones. */
function script(): readonly (readonly [call: Call, volume: number])[] {
  const all = Array.from({ length: VOLUMES }, (_, volume) => volume)
  const of = (call: Call): (readonly [Call, number])[] => all.map((volume) => [call, volume])
  return [...of('create'), ...of('stage'), ...of('publish'), ...of('unpublish'), ...of('unstage'), ...of('delete')]
}

interface Traced {
  readonly steps: readonly Step[]
  /** The ids that CreateVolume gave. */
  readonly ids: readonly string[]
}

/** Takes volumes through their lives, and tells what the plugin did to its state folder meanwhile. */
async function traceLives(sandbox: Sandbox): Promise<Traced> {
  using plugin = await Plugin.start(sandbox, ROLE)
  const ids: string[] = []
  const volumes: Volume[] = []
  const steps = await traced(sandbox, plugin, async () => {
    for (const [call, at] of script()) {
      if (call === 'create') {
        const { volume } = await plugin.call(Controller.method.createVolume, {
          name: `volume-${at}`,
          volumeCapabilities: [mountCapability()],
        })
        ids[at] = volume?.volumeId ?? ''
        volumes[at] = new Volume(sandbox, plugin, ids[at])
      } else if (call === 'delete') await plugin.call(Controller.method.deleteVolume, { volumeId: ids[at] ?? '' })
      else await volumes[at]?.[call]()
    }
  })
  await plugin.stop()
  return { steps, ids }
}

/** What a program does to its state folder while `act` runs. */
async function traced(
  sandbox: Sandbox,
  { pid, stateDir }: { readonly pid: number; readonly stateDir: string },
  act: () => Promise<void>,
): Promise<readonly Step[]> {
  const output = join(sandbox.path, 'trace')
  const strace = await attach(sandbox, pid, traceWords(output), true)
  await act()
  await detach(strace)
  return readTrace(output, stateDir)
}

/** What a start finds of each volume. */
interface Found {
  readonly staged: readonly string[]
  readonly published: readonly string[]
  readonly created: readonly string[]
}

/** Reads a state folder as a plugin does that starts. */
function start(stateDir: string): Found {
  const log = new Logger(() => undefined)
  const cache = new MountCache(join(stateDir, 'mountcache'), new SyncedSoon(log), log)
  cache.load()
  const registry = new VolumeRegistry(join(stateDir, 'volumes'), log)
  registry.load()
  const ids = (all: readonly { readonly volumeId: string }[]): string[] => all.map(({ volumeId }) => volumeId)
  return { staged: ids(cache.staged()), published: ids(cache.published()), created: registry.list().map(({ id }) => id) }
}

/** Asserts what must be so after a power cut when so many calls of the script have answered and the next one may be under way. */
function check(found: Found, ids: readonly string[], answered: number, title: string): void {
  const calls = script()
  const done = (call: Call, volume: number): boolean => calls.findIndex(([one, at]) => one === call && at === volume) < answered
  const begun = (call: Call, volume: number): boolean => calls.findIndex(([one, at]) => one === call && at === volume) <= answered
  ids.forEach((id, volume) => {
    const is = (list: readonly string[], what: string, must: boolean, may: boolean): void => {
      if (must) assert.ok(list.includes(id), `${title}: ${id} is ${what} no more`)
      if (!may) assert.ok(!list.includes(id), `${title}: ${id} is ${what} again, or already`)
    }
    // A mount does not outlive a power cut: its entry need not either.
    is(found.staged, 'staged', false, begun('stage', volume) && !done('unstage', volume))
    is(found.published, 'published', false, begun('publish', volume) && !done('unpublish', volume))
    is(
      found.created,
      'there',
      done('create', volume) && !begun('delete', volume),
      begun('create', volume) && !done('delete', volume),
    )
  })
}

/** Calls `visit` after each step, with the disk, which has these folders at first, and the number of calls that have answered. */
async function eachMoment(
  steps: readonly Step[],
  folders: readonly string[],
  visit: (disk: Disk, answered: number, moment: number) => Promise<void>,
): Promise<void> {
  const disk = new Disk()
  for (const path of folders) disk.add(path)
  let answered = 0
  for (const [moment, step] of steps.entries()) {
    if (step.kind === 'answer') answered++
    else disk.apply(step.change)
    await visit(disk, answered, moment)
  }
}

/** All files below a folder, with what they hold. */
function filesOf(folder: string): ReadonlyMap<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'utf8')]))
}

describe('a power cut', () => {
  it('at every write leaves a state from which a plugin starts, without what was removed, with what CreateVolume has answered', async (t) => {
    await using sandbox = new Sandbox()
    const { steps, ids } = await traceLives(sandbox)
    assert.equal(steps.filter(({ kind }) => kind === 'answer').length, script().length)
    let states = 0
    const seen = new Set<keyof Found>()
    await eachMoment(steps, FOLDERS, async (disk, answered, moment) => {
      for (const loss of LOSSES) {
        const title = `step ${moment} of ${steps.length}, ${loss}`
        const folder = join(sandbox.path, 'cut-state')
        disk.cut(loss, folder)
        const found = start(folder)
        check(found, ids, answered, title)
        for (const key of ['staged', 'published', 'created'] as const) if (found[key].length > 0) seen.add(key)
        if (states++ % EACH === 0) await startReally(sandbox, folder, title)
        rmSync(folder, { recursive: true })
      }
    })
    assert.equal(seen.size, 3, 'the states hold entries and records')
    t.diagnostic(`${states} states of ${steps.length} steps`)
  })

  it('at every write of dummy-fused leaves records from which one starts, and serves what comes', async (t) => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const paths = ['one', 'two'].map((name) => sandbox.directory(name))
    const steps = await traced(sandbox, fused, async () => {
      for (const path of paths) await fused.mount(path)
      for (const path of paths) await fused.unmount(path)
    })
    assert.equal((await fused.stop()).status, 0)
    const folder = join(sandbox.path, 'cut-state')
    let [states, whole, damaged] = [0, 0, 0]
    await eachMoment(steps, ['sessions'], async (disk, _answered, moment) => {
      for (const loss of LOSSES) {
        disk.cut(loss, folder)
        const found = new Records(recordsFolder(folder), { first: 1, longest: 1 }, new Logger(() => undefined)).read()
        damaged += found.filter(({ kind }) => kind === 'damaged').length
        whole += found.filter(({ kind }) => kind !== 'damaged').length
        if (found.length > 0 && states++ % 3 === 0) await serveReally(sandbox, `step ${moment}, ${loss}`)
        rmSync(folder, { recursive: true })
      }
    })
    assert.ok(whole > 0 && damaged > 0, `${whole} records that are whole, ${damaged} that are damaged`)
    t.diagnostic(`${states} states with records`)
  })

  it('is replayed as it was: without a loss the files are those that the plugin left', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, ROLE)
    const volume = new Volume(sandbox, plugin, 'volume')
    const steps = await traced(sandbox, plugin, async () => {
      await volume.publish()
      await plugin.call(Controller.method.createVolume, { name: 'é"\\', volumeCapabilities: [mountCapability()] })
    })
    const disk = new Disk()
    for (const path of FOLDERS) disk.add(path)
    for (const step of steps) if (step.kind === 'change') disk.apply(step.change)
    const copy = join(sandbox.path, 'copy')
    disk.cut('nothing is lost', copy)
    const relative = (files: ReadonlyMap<string, string>, from: string): Map<string, string> =>
      new Map([...files].map(([path, text]) => [path.slice(from.length), text]))
    assert.deepEqual(relative(filesOf(copy), copy), relative(filesOf(plugin.stateDir), plugin.stateDir))
    await volume.unpublish()
    await volume.unstage()
  })
})

/** A plugin starts with a state folder, answers, and takes off what it has mounted by it. */
async function startReally(sandbox: Sandbox, stateDir: string, title: string): Promise<void> {
  assert.equal(stateDir, join(sandbox.path, 'cut-state'))
  using plugin = await Plugin.start(sandbox, { ...ROLE, name: 'cut' })
  const log = new Logger(() => undefined)
  const cache = new MountCache(join(stateDir, 'mountcache'), new SyncedSoon(log), log)
  await cache.peek()
  for (const { volumeId, targetPath } of cache.published()) await plugin.unpublish(volumeId, targetPath)
  for (const { volumeId, stagingPath } of cache.staged()) await plugin.unstage(volumeId, stagingPath)
  assert.deepEqual([plugin.entries(), sandbox.mounts()], [[], []], title)
  assert.equal((await plugin.stop()).status, 0, title)
}

/** A dummy-fused starts with the state folder that a power cut has left, holds no session, and mounts one. */
async function serveReally(sandbox: Sandbox, title: string): Promise<void> {
  const fused = await FusedProcess.start(sandbox, { name: 'cut' })
  assert.deepEqual((await fused.call(Fused.method.list)).sessions, [], title)
  const path = sandbox.directory('afterwards')
  await fused.mount(path)
  assert.ok(await serves(sandbox, path), title)
  await fused.unmount(path)
  assert.equal((await fused.stop()).status, 0, title)
}
