import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'
import { type MODES, startHosted } from '../model/hosts.ts'
import { outcome } from '../support/csi-client.ts'
import { mountDummyFuse } from '../support/mounting.ts'
import { type Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { SeededRandom } from '../support/random.ts'
import { Swapper } from './swapper.ts'

/** How links get onto the way of volumes. */
export const ATTACKERS = ['root, below an allowed root', 'another user, in folders of their own'] as const

type Attacker = (typeof ATTACKERS)[number]

/** How much a campaign is to do. */
export interface PathsScale {
  readonly mode: (typeof MODES)[number]
  readonly attacker: Attacker
  readonly seed: number
  readonly calls: number
  readonly workers: number
}

/** What a campaign has counted; `findings` are what must not be. */
export interface PathsTally {
  readonly codes: ReadonlyMap<string, number>
  readonly swaps: number
  readonly findings: readonly string[]
}

const VOLUMES = 6
const NOBODY = 65_534

/** Seconds that a call may take: a busy machine starts the daemons of all workers at the same time. One that hangs takes them all. */
const CALL_DEADLINE = 60

/** Milliseconds between two looks at what is mounted outside. */
const LOOK_EVERY = 10

/** Codes that a call may end with while its path is swapped under it. */
const ALLOWED = ['OK', 'FAILED_PRECONDITION', 'UNAVAILABLE', 'ABORTED', 'ALREADY_EXISTS', 'NOT_FOUND', 'RESOURCE_EXHAUSTED']

interface Place {
  readonly id: string
  readonly staging: string
  readonly target: string
}

/**
 * Stages, publishes, unpublishes and unstages volumes while every directory of their paths is swapped for a symbolic link to a tree outside,
 * which has the same names: directories that are empty, files, and a mount of dummy-fuse where a target would be. The tree outside, and what
 * is mounted in it, must stay as they are, and afterwards all volumes can be taken off.
 */
export async function attackPaths({ mode, attacker, seed, calls, workers }: PathsScale): Promise<PathsTally> {
  await using sandbox = new Sandbox()
  const findings: string[] = []
  const codes = new Map<string, number>()
  // For another user's swapper.
  chmodSync(sandbox.path, 0o755)
  const [inside, outside] = [sandbox.directory('inside'), sandbox.directory('outside')]
  const isRoot = attacker === ATTACKERS[0]
  const places = Array.from({ length: VOLUMES }, (_, index) => placeIn(inside, index))
  const swapped = places.flatMap((place) => prepare(inside, outside, place, isRoot ? 0 : NOBODY))
  const bait = join(outside, 'pods/0/volumes/mount')
  await mountDummyFuse(sandbox, ['-o', 'nonempty'], bait.slice(sandbox.path.length + 1))
  const before = [snapshot(outside), mountsBelow(outside)]

  const args = isRoot ? ['--allowed-root', inside] : []
  const { plugin } = await startHosted(mode, sandbox, args, { callDeadline: CALL_DEADLINE })
  using _plugin = plugin
  const swapper = await Swapper.start(sandbox, [...new Set(swapped)], isRoot ? 0 : NOBODY, seed)
  const random = new SeededRandom(seed)
  const watch = new AbortController()
  const watching = watchOutside(outside, before[1] ?? '', findings, watch.signal)
  let left = calls
  const worker = async (): Promise<void> => {
    // A swapper that has had no turn has tried nothing.
    while (left-- > 0 || !swapper.many) {
      const place = places[random.between(0, places.length - 1)]
      if (place === undefined) continue
      const [name, act] = pick(plugin, place, random.roll())
      const { code, details } = await outcome(act())
      codes.set(`${name} ${code}`, (codes.get(`${name} ${code}`) ?? 0) + 1)
      if (!ALLOWED.includes(code)) findings.push(`${name} of ${place.id} ended with ${code}: ${details}`)
    }
  }
  let swaps: number
  try {
    await Promise.all(Array.from({ length: workers }, worker))
    await swapper.stop()
    releaseSwapped(inside)
    swaps = await swapper.end()
  } finally {
    // A failure must not leave it looking for ever.
    watch.abort()
    await watching
  }
  for (const { id, staging, target } of places) {
    await retry(() => plugin.unpublish(id, target), findings)
    await retry(() => plugin.unstage(id, staging), findings)
  }
  const after = [snapshot(outside), mountsBelow(outside)]
  for (const index of [0, 1]) if (before[index] !== after[index]) findings.push(difference(before[index] ?? '', after[index] ?? ''))
  const rest = [...mountsBelow(inside).split('\n').filter(Boolean), ...plugin.entries()]
  if (rest.length > 0) findings.push(`left behind: ${rest.join(', ')}`)
  return { codes, swaps, findings }
}

function placeIn(inside: string, index: number): Place {
  return {
    id: `volume-${index}`,
    staging: join(inside, 'plugins', String(index), 'globalmount'),
    target: join(inside, 'pods', String(index), 'volumes', 'mount'),
  }
}

/** Makes a volume's directories inside, the same names outside, and a link beside each directory that leads there. Returns what can be swapped. */
function prepare(inside: string, outside: string, { staging, target }: Place, owner: number): readonly string[] {
  const folders = [
    dirname(dirname(staging)),
    dirname(staging),
    staging,
    dirname(dirname(dirname(target))),
    dirname(dirname(target)),
    dirname(target),
  ]
  for (const path of [...folders, target]) {
    const beyond = join(outside, path.slice(inside.length + 1))
    mkdirSync(beyond, { recursive: true })
    if (path !== target) mkdirSync(path, { recursive: true })
  }
  writeFileSync(join(outside, dirname(target).slice(inside.length + 1), 'precious'), 'precious')
  // The folder of all volumes is not swapped: each worker's volume is on its own.
  const swapped = folders.filter((path) => !['plugins', 'pods'].includes(path.slice(inside.length + 1)))
  for (const path of swapped) {
    symlinkSync(join(outside, path.slice(inside.length + 1)), `${path}.link`)
    if (owner !== 0) for (const one of [path, dirname(path)]) chownSync(one, owner, owner)
  }
  return swapped
}

function pick(plugin: Plugin, { id, staging, target }: Place, random: number): readonly [string, () => Promise<void>] {
  const rpcs: readonly (readonly [string, () => Promise<void>])[] = [
    ['Stage', () => plugin.stage(id, staging)],
    ['Publish', () => plugin.publish(id, staging, target)],
    ['Publish', () => plugin.publish(id, staging, target)],
    ['Unpublish', () => plugin.unpublish(id, target)],
    ['Unstage', () => plugin.unstage(id, staging)],
  ]
  return rpcs[Math.floor(random * rpcs.length)] ?? ['Stage', () => plugin.stage(id, staging)]
}

async function retry(act: () => Promise<void>, findings: string[]): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const { code, details } = await outcome(act())
    if (code === 'OK') return
    if (attempt === 19) findings.push(`a volume cannot be taken off: ${code}: ${details}`)
    await sleep(250)
  }
}

/**
 * Unmounts directories that were mounted on while a link was in their place: a mount point cannot be renamed (EBUSY), and so not be put back.
 * Nothing may be swapped meanwhile: umount(8) follows links, and would unmount outside.
 */
function releaseSwapped(inside: string): void {
  for (const { mountPoint } of parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8')))
    if (mountPoint.startsWith(`${inside}/`) && mountPoint.includes('.link')) spawnSync('umount', ['-l', mountPoint])
}

/** Looks again and again at what is mounted below a folder: a mount that is there for a moment counts. */
async function watchOutside(outside: string, expected: string, findings: string[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const now = mountsBelow(outside)
    if (now !== expected) findings.push(`mounted outside for a moment: ${difference(expected, now)}`)
    await sleep(LOOK_EVERY)
  }
}

function mountsBelow(folder: string): string {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    .filter(({ mountPoint }) => mountPoint.startsWith(`${folder}/`))
    .map(({ id, device, mountPoint, options }) => `${id} ${device} ${mountPoint} ${options.join()}`)
    .sort()
    .join('\n')
}

/** All that is below a folder: its paths, inodes, owners, modes and times of change, and what files hold. */
function snapshot(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .sort()
    .map((path) => {
      const { ino, mode, uid, gid, ctimeMs, size } = lstatSync(path)
      const text = lstatSync(path).isFile() ? readFileSync(path, 'utf8') : ''
      return [path, ino, mode, uid, gid, ctimeMs, size, text].join(' ')
    })
    .join('\n')
}

function difference(before: string, after: string): string {
  const [old, now] = [new Set(before.split('\n')), new Set(after.split('\n'))]
  const gone = [...old].filter((line) => !now.has(line)).map((line) => `- ${line}`)
  const come = [...now].filter((line) => !old.has(line)).map((line) => `+ ${line}`)
  return [...gone, ...come].slice(0, 20).join('; ')
}

/** What a campaign has counted, as lines for people. */
export function pathsReport(title: string, { codes, swaps, findings }: PathsTally): string {
  const calls = [...codes.values()].reduce((sum, count) => sum + count, 0)
  return [
    `${title}: ${calls} calls, ${swaps} swaps`,
    ...[...codes].sort().map(([what, count]) => `  ${what}: ${count}`),
    findings.length === 0 ? '  nothing was found' : `  ${findings.length} findings:`,
    ...findings.slice(0, 20).map((finding) => `  - ${finding}`),
  ].join('\n')
}
