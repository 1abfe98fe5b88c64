import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../src/errors.ts'
import { Records, recordsFolder } from '../../src/fused/session-records.ts'
import { Logger } from '../../src/log.ts'
import { DelayedFsync } from '../../src/os/descriptors/delayed-fsync.ts'
import { Controller } from '../../src/rpc/csi_pb.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { MountCache } from '../../src/volumes/mount-cache.ts'
import { VolumeRegistry } from '../../src/volumes/registry.ts'
import { FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { attach, detach } from '../support/strace.ts'
import { Volume } from '../support/volume.ts'
import { Disk, LOSSES } from './disk.ts'
import { readTrace, type Step, traceWords } from './trace.ts'

/** How much is traced and tried. */
export interface PowerScale {
  /** Volumes, or sessions of dummy-fused, whose lives are traced. */
  readonly volumes: number
  /** Of so many states one is given to a program that really starts. */
  readonly each: number
}

/** What came of the states that a power cut at every write leaves. */
export interface PowerOutcome {
  /** What the program has done to its state folder, and its answers. */
  readonly steps: number
  readonly states: number
  /** Programs that have started with one of them. */
  readonly starts: number
  /** Entries and records that were found in them, by their kind. */
  readonly found: Readonly<Record<string, number>>
  /** What must not be. */
  readonly findings: readonly string[]
}

export const ROLE = { args: ['--role', 'identity,node,controller'] }

/** The folders of a plugin's state, which are there when tracing begins. */
export const FOLDERS = ['mountcache', 'mountcache/staged', 'mountcache/published', 'volumes']

/** A call, and what must be so once it has answered. */
type Call = 'create' | 'stage' | 'publish' | 'unpublish' | 'unstage' | 'delete'

/** Each volume's whole life, one after the other, the last steps of the first ones among the first steps of the last ones. */
function script(volumes: number): readonly (readonly [call: Call, volume: number])[] {
  const all = Array.from({ length: volumes }, (_, volume) => volume)
  const of = (call: Call): (readonly [Call, number])[] => all.map((volume) => [call, volume])
  return [...of('create'), ...of('stage'), ...of('publish'), ...of('unpublish'), ...of('unstage'), ...of('delete')]
}

interface Traced {
  readonly steps: readonly Step[]
  /** The ids that CreateVolume gave. */
  readonly ids: readonly string[]
}

/** Takes volumes through their lives, and tells what the plugin did to its state folder meanwhile. */
async function traceLives(sandbox: Sandbox, count: number): Promise<Traced> {
  using plugin = await Plugin.start(sandbox, ROLE)
  const ids: string[] = []
  const volumes: Volume[] = []
  const steps = await traced(sandbox, plugin, async () => {
    for (const [call, at] of script(count)) {
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
export async function traced(
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
  const cache = new MountCache(join(stateDir, 'mountcache'), new DelayedFsync(log), log)
  cache.load()
  const registry = new VolumeRegistry(join(stateDir, 'volumes'), log)
  registry.load()
  const ids = (all: readonly { readonly volumeId: string }[]): string[] => all.map(({ volumeId }) => volumeId)
  return { staged: ids(cache.staged()), published: ids(cache.published()), created: registry.list().map(({ id }) => id) }
}

/** What is not as it must be after a power cut when so many calls of the script have answered and the next one may be under way. */
function flaws({ staged, published, created }: Found, { ids }: Traced, answered: number): readonly string[] {
  const calls = script(ids.length)
  const at = (call: Call, volume: number): number => calls.findIndex(([one, of]) => one === call && of === volume)
  const done = (call: Call, volume: number): boolean => at(call, volume) < answered
  const begun = (call: Call, volume: number): boolean => at(call, volume) <= answered
  return ids.flatMap((id, volume) => {
    const is = (list: readonly string[], what: string, must: boolean, may: boolean): readonly string[] => [
      ...(must && !list.includes(id) ? [`${id} is ${what} no more`] : []),
      ...(!may && list.includes(id) ? [`${id} is ${what} again, or already`] : []),
    ]
    const isThere = done('create', volume) && !begun('delete', volume)
    return [
      // A mount does not outlive a power cut: its entry need not either.
      ...is(staged, 'staged', false, begun('stage', volume) && !done('unstage', volume)),
      ...is(published, 'published', false, begun('publish', volume) && !done('unpublish', volume)),
      ...is(created, 'there', isThere, begun('create', volume) && !done('delete', volume)),
    ]
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
export function filesOf(folder: string): ReadonlyMap<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'utf8')]))
}

/** Cuts the power at every write of a plugin whose volumes go through their lives, and starts from what is left. */
export async function cutServe(sandbox: Sandbox, { volumes, each }: PowerScale): Promise<PowerOutcome> {
  const traced = await traceLives(sandbox, volumes)
  const { steps } = traced
  const findings: string[] = []
  const answers = steps.filter(({ kind }) => kind === 'answer').length
  if (answers !== script(volumes).length) findings.push(`${answers} answers were traced, of ${script(volumes).length}`)
  let [states, starts] = [0, 0]
  const seen = { staged: 0, published: 0, created: 0 }
  await eachMoment(steps, FOLDERS, async (disk, answered, moment) => {
    for (const loss of LOSSES) {
      const title = `step ${moment} of ${steps.length}, ${loss}`
      const folder = join(sandbox.path, 'cut-state')
      disk.cut(loss, folder)
      try {
        const found = start(folder)
        findings.push(...flaws(found, traced, answered).map((flaw) => `${title}: ${flaw}`))
        for (const key of ['staged', 'published', 'created'] as const) seen[key] += found[key].length
      } catch (error) {
        findings.push(`${title}: no start: ${messageOf(error)}`)
      }
      if (states++ % each === 0) {
        starts++
        findings.push(...(await startReally(sandbox, folder)).map((flaw) => `${title}: ${flaw}`))
      }
      rmSync(folder, { recursive: true })
    }
  })
  return { steps: steps.length, states, starts, found: seen, findings }
}

/** Cuts the power at every write of a dummy-fused that mounts and unmounts, and starts from what is left. */
export async function cutFused(sandbox: Sandbox, { volumes, each }: PowerScale): Promise<PowerOutcome> {
  const fused = await FusedProcess.start(sandbox)
  const paths = Array.from({ length: volumes }, (_, at) => sandbox.directory(`session-${at}`))
  const steps = await traced(sandbox, fused, async () => {
    for (const path of paths) await fused.mount(path)
    for (const path of paths) await fused.unmount(path)
  })
  const findings: string[] = []
  const { status } = await fused.stop()
  if (status !== 0) findings.push(`dummy-fused ended with status ${status ?? -1}`)
  const folder = join(sandbox.path, 'cut-state')
  const seen = { whole: 0, damaged: 0 }
  let [states, held, starts] = [0, 0, 0]
  await eachMoment(steps, ['sessions'], async (disk, _answered, moment) => {
    for (const loss of LOSSES) {
      const title = `step ${moment} of ${steps.length}, ${loss}`
      states++
      disk.cut(loss, folder)
      const found = new Records(recordsFolder(folder), { first: 1, longest: 1 }, new Logger(() => undefined)).read()
      const damaged = found.filter(({ kind }) => kind === 'damaged').length
      seen.damaged += damaged
      seen.whole += found.length - damaged
      if (found.length > 0 && held++ % each === 0) {
        starts++
        findings.push(...(await serveReally(sandbox)).map((flaw) => `${title}: ${flaw}`))
      }
      rmSync(folder, { recursive: true })
    }
  })
  return { steps: steps.length, states, starts, found: seen, findings }
}

/** A plugin starts with a state folder, answers, and takes off what it has mounted by it. Resolves to what was wrong. */
async function startReally(sandbox: Sandbox, stateDir: string): Promise<readonly string[]> {
  try {
    using plugin = await Plugin.start(sandbox, { ...ROLE, name: 'cut' })
    const log = new Logger(() => undefined)
    const cache = new MountCache(join(stateDir, 'mountcache'), new DelayedFsync(log), log)
    await cache.peek()
    for (const { volumeId, targetPath } of cache.published()) await plugin.unpublish(volumeId, targetPath)
    for (const { volumeId, stagingPath } of cache.staged()) await plugin.unstage(volumeId, stagingPath)
    const left = [...plugin.entries(), ...sandbox.mounts()].map((one) => `${one} is left`)
    const { status } = await plugin.stop()
    return status === 0 ? left : [...left, `the plugin ended with status ${status ?? -1}`]
  } catch (error) {
    return [messageOf(error)]
  }
}

/** A dummy-fused starts with the state folder that a power cut has left, holds no session, and mounts one. Resolves to what was wrong. */
async function serveReally(sandbox: Sandbox): Promise<readonly string[]> {
  try {
    const fused = await FusedProcess.start(sandbox, { name: 'cut' })
    const { sessions } = await fused.call(Fused.method.list)
    const flaws = sessions.map(({ path }) => `it holds a session of ${path}`)
    const path = sandbox.directory('afterwards')
    await fused.mount(path)
    if (!(await serves(sandbox, path))) flaws.push('what it mounts is not served')
    await fused.unmount(path)
    const { status } = await fused.stop()
    return status === 0 ? flaws : [...flaws, `it ended with status ${status ?? -1}`]
  } catch (error) {
    return [messageOf(error)]
  }
}
