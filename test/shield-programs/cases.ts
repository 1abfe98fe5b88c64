import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStat } from '../../src/os/processes/processes.ts'
import type { SeededRandom } from '../support/random.ts'
import type { Sandbox } from '../support/sandbox.ts'
import {
  assertNothingHidden,
  killWaitingConsumers,
  runShield,
  Shielded,
  ShieldedHolder,
  ShieldedReader,
  ShieldedWriter,
  type ShieldJson,
  shieldStatus,
} from '../support/shield.ts'
import { FSX } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'
import type { PreparedProgram, ShieldProgram } from './program.ts'

/** How often something is done to a daemon. */
export interface CaseScale {
  /** SIGKILLs of `open-files`, `fio` and `fsx`. */
  readonly kills: number
  /** Upgrades of `open-files`. */
  readonly upgrades: number
  /** SIGKILLs of `mixed`. */
  readonly mixedKills: number
  /** SIGKILLs of `together`, each of the shield and the daemon. */
  readonly together: number
}

/** What a case is run with. */
export interface Ground {
  readonly program: ShieldProgram
  readonly prepared: PreparedProgram
  readonly scale: CaseScale
  readonly random: SeededRandom
}

/** What is tried with each program. */
export interface ShieldCase {
  readonly name: string
  readonly what: string
  /** Why it is not for a program; undefined: it is. */
  readonly notFor: (program: ShieldProgram) => string | undefined
  /** Rejects with what was wrong. Resolves to what was done, in words. */
  readonly run: (sandbox: Sandbox, ground: Ground) => Promise<string>
}

/** The longest pause before a kill, in milliseconds. */
const LONGEST_PAUSE = 200

/** Milliseconds for a daemon to come back, and for a consumer to end. */
const PATIENCE = 120_000

/** Milliseconds of one run of fio or fsx. */
const RUN_LIMIT = 600_000

export const CASES: readonly ShieldCase[] = [
  {
    name: 'open-files',
    what: 'a descriptor, a memory map, a working directory and a listing that has begun are used through kills and upgrades, and where the program writes, files that are renamed, removed, replaced and hard-linked while they are open',
    notFor: () => undefined,
    run: openFiles,
  },
  {
    name: 'mixed',
    what: 'files and directories are made, changed, moved and removed, each exactly once, through kills',
    notFor: notWritten,
    run: mixed,
  },
  {
    name: 'consumers',
    what: 'consumers are killed while the daemon hangs and while there is none',
    notFor: () => undefined,
    run: consumers,
  },
  {
    name: 'together',
    what: 'the shield and the daemon are killed at one moment',
    notFor: () => undefined,
    run: together,
  },
  {
    name: 'poison',
    what: 'one file ends each daemon that reads it',
    notFor: ({ isPoisoned }) => (isPoisoned === true ? undefined : 'no request is known that ends it'),
    run: poison,
  },
  { name: 'fio', what: 'fio writes and verifies through kills', notFor: notWritten, run: fio },
  {
    name: 'fsx',
    what: 'fsx writes, maps, truncates and verifies through kills',
    notFor: (program) => notWritten(program) ?? (existsSync(FSX) ? undefined : 'fsx is not built, which takes cargo'),
    run: fsx,
  },
]

function notWritten({ readOnly }: ShieldProgram): string | undefined {
  return readOnly === undefined ? undefined : `nothing is written: ${readOnly}`
}

async function start(sandbox: Sandbox, { program, prepared }: Ground, command = prepared.command): Promise<Shielded> {
  const { readOnly, stableInodes } = program
  const options = [...(readOnly === undefined ? [] : ['--read-only']), ...(stableInodes === true ? ['--stable-inodes'] : [])]
  return await Shielded.start(sandbox, command, options)
}

/** A new directory in the mount, and the folder below it. */
async function madeIn(
  sandbox: Sandbox,
  shielded: Shielded,
  { prepared }: Ground,
  name: string,
): Promise<readonly [string, string?]> {
  const directory = join(shielded.mountpoint, name)
  const made = await sandbox.run('mkdir', [directory], { timeout: PATIENCE })
  assert.equal(made.status, 0, made.stderr)
  const { below } = prepared
  return below === undefined ? [directory] : [directory, join(below, name)]
}

/**
 * The state of a shield that has failed no request by itself. ESTALE is no failure of its own: the kernel asks for removed files too, such as for their times to be
 * stored, and consumers tell of theirs.
 */
async function unharmed(sandbox: Sandbox, { mountpoint }: Shielded): Promise<ShieldJson> {
  const status = await shieldStatus(sandbox, mountpoint)
  const { suspectsFailed, undecided } = status.requests
  assert.deepEqual({ suspectsFailed, undecided }, { suspectsFailed: 0, undecided: 0 })
  return status
}

async function stop(sandbox: Sandbox, shielded: Shielded, { prepared: { below } }: Ground): Promise<void> {
  await shielded.stop(sandbox)
  assert.doesNotMatch(shielded.running.output(), /has not removed/)
  if (below !== undefined) await assertNothingHidden(sandbox, below)
}

async function openFiles(sandbox: Sandbox, ground: Ground): Promise<string> {
  const { program, scale, random } = ground
  const shielded = await start(sandbox, ground)
  const { mountpoint } = shielded
  const users: (ShieldedReader | ShieldedHolder)[] = [await ShieldedReader.start(sandbox, mountpoint)]
  if (program.readOnly === undefined)
    users.push(await ShieldedHolder.start(sandbox, ...(await madeIn(sandbox, shielded, ground, 'held'))))
  const left = { kill: scale.kills, upgrade: scale.upgrades }
  while (left.kill + left.upgrade > 0) {
    const what = random.between(1, left.kill + left.upgrade) <= left.kill ? 'kill' : 'upgrade'
    left[what]--
    if (what === 'upgrade') await upgraded(sandbox, shielded, program)
    else if (random.between(0, 1) === 0) await shielded.killDaemon()
    // Without a wait for the next one.
    else shielded.killAtOnce()
    for (const user of users) await user.check()
  }
  const { restarts, upgrades, requests } = await unharmed(sandbox, shielded)
  assert.ok(restarts >= scale.kills)
  assert.equal(upgrades, scale.upgrades)
  for (const user of users) await user.end()
  await stop(sandbox, shielded, ground)
  return `${scale.kills} kills, ${restarts} restarts, ${upgrades} upgrades, ${requests.resent} requests resent`
}

async function upgraded(sandbox: Sandbox, shielded: Shielded, { stopFirst }: ShieldProgram): Promise<void> {
  const words = ['--drain', '120', ...(stopFirst === true ? ['--stop-first'] : []), shielded.mountpoint]
  const { status, stdout, stderr } = await runShield(sandbox, 'upgrade', ...words)
  assert.deepEqual([status, stderr], [0, ''], shielded.running.output())
  assert.match(stdout, /resent: 0; /)
}

async function mixed(sandbox: Sandbox, ground: Ground): Promise<string> {
  const { scale, random } = ground
  const shielded = await start(sandbox, ground)
  const [directory] = await madeIn(sandbox, shielded, ground, 'mixed')
  const writer = new ShieldedWriter(sandbox, directory, random.between(1, 2 ** 31 - 1))
  for (let kill = 0; kill < scale.mixedKills; kill++) {
    await sleep(random.between(0, LONGEST_PAUSE))
    await shielded.killDaemon()
    await writer.goesOn()
  }
  const files = await writer.end()
  const { restarts, requests } = await unharmed(sandbox, shielded)
  await stop(sandbox, shielded, ground)
  return `${scale.mixedKills} kills, ${restarts} restarts, ${files} files, ${requests.resent} requests resent, ${requests.takenAsDone} taken as done`
}

async function consumers(sandbox: Sandbox, ground: Ground): Promise<string> {
  const wish = join(sandbox.path, 'wish')
  writeFileSync(wish, '')
  const script = 'test -e "$0" || exit 7; exec "$@"'
  const shielded = await start(sandbox, ground, ['sh', '-c', script, wish, ...ground.prepared.command])
  const { daemon = 0, mountpoint } = shielded
  await killWaitingConsumers(sandbox, shielded, async () => {
    process.kill(daemon, 'SIGSTOP')
    await eventually('the daemon is stopped', () => processStat(daemon)?.state === 'T')
  })
  process.kill(daemon, 'SIGCONT')
  const reader = await ShieldedReader.start(sandbox, mountpoint)
  await reader.check()
  await reader.end()
  await killWaitingConsumers(sandbox, shielded, async () => {
    rmSync(wish)
    shielded.killAtOnce()
    await eventually('there is no daemon', async () => (await shieldStatus(sandbox, mountpoint)).state === 'away', PATIENCE)
  })
  writeFileSync(wish, '')
  await eventually('a daemon serves', async () => (await shieldStatus(sandbox, mountpoint)).state === 'serving', PATIENCE)
  const again = await ShieldedReader.start(sandbox, mountpoint)
  await again.check()
  await again.end()
  await unharmed(sandbox, shielded)
  await stop(sandbox, shielded, ground)
  return '8 consumers'
}

async function together(sandbox: Sandbox, ground: Ground): Promise<string> {
  const { program, scale, random } = ground
  const shielded = await start(sandbox, ground)
  const reader = await ShieldedReader.start(sandbox, shielded.mountpoint)
  let writer: ShieldedWriter | undefined
  if (program.readOnly === undefined) {
    const [directory] = await madeIn(sandbox, shielded, ground, 'together')
    writer = new ShieldedWriter(sandbox, directory, random.between(1, 2 ** 31 - 1))
  }
  for (let kill = 0; kill < scale.together; kill++) {
    await sleep(random.between(0, LONGEST_PAUSE))
    await shielded.kill(random.between(0, 1) === 0 ? ['shield', 'daemon'] : ['daemon', 'shield'])
    await reader.check()
    await writer?.goesOn()
  }
  await reader.end()
  const files = (await writer?.end()) ?? 0
  const { deaths, requests } = await unharmed(sandbox, shielded)
  assert.equal(deaths, scale.together)
  await stop(sandbox, shielded, ground)
  return `${deaths} times, ${files} files written, ${requests.resent} requests resent, ${requests.takenAsDone} taken as done`
}

async function poison(sandbox: Sandbox, ground: Ground): Promise<string> {
  const shielded = await start(sandbox, ground)
  const { mountpoint } = shielded
  const reader = await ShieldedReader.start(sandbox, mountpoint)
  const read = await sandbox.run('cat', [join(mountpoint, 'poison')], { timeout: PATIENCE })
  assert.match(read.stderr, /Input\/output error/)
  await reader.check()
  await reader.end()
  const { restarts, requests } = await shieldStatus(sandbox, mountpoint)
  assert.ok(restarts >= 3)
  // The kernel asks again for a page that it could not read ahead.
  assert.ok((requests.suspectsFailed ?? 0) >= 1)
  await stop(sandbox, shielded, ground)
  return `${restarts} daemons ended`
}

async function fio(sandbox: Sandbox, ground: Ground): Promise<string> {
  return await exercise(sandbox, ground, 'fio', (directory, seed) => {
    const all = [
      '--name=global',
      '--directory',
      directory,
      '--size=8m',
      '--bs=4k',
      '--rw=randwrite',
      '--verify=crc32c',
      '--verify_fatal=1',
    ]
    const jobs = ['--name=written', '--ioengine=psync', '--name=mapped', '--ioengine=mmap']
    return ['fio', `--randseed=${seed}`, ...all, '--verify_backlog=256', '--verify_state_save=0', '--fsync=512', ...jobs]
  })
}

async function fsx(sandbox: Sandbox, ground: Ground): Promise<string> {
  return await exercise(sandbox, ground, 'fsx', (directory, seed) => {
    return [FSX, '-N', '3000', '-S', String(seed), '-P', sandbox.path, join(directory, 'file')]
  })
}

/** Runs a program that verifies what it writes, again and again, until its daemon was killed often enough while it ran. */
async function exercise(
  sandbox: Sandbox,
  ground: Ground,
  name: string,
  command: (directory: string, seed: number) => readonly string[],
): Promise<string> {
  const { scale, random } = ground
  const shielded = await start(sandbox, ground)
  const [directory] = await madeIn(sandbox, shielded, ground, name)
  let [kills, runs] = [0, 0]
  while (kills < scale.kills) {
    const [file = '', ...args] = command(directory, random.between(1, 2 ** 31 - 1))
    const running = sandbox.start(file, args)
    const hasEnded = (): boolean => running.child.exitCode !== null || running.child.signalCode !== null
    while (kills < scale.kills) {
      await sleep(random.between(0, LONGEST_PAUSE))
      if (hasEnded()) break
      await shielded.killDaemon()
      kills++
    }
    await eventually(`${name} has ended`, hasEnded, RUN_LIMIT)
    const { status } = await running.ended
    assert.equal(status, 0, running.output())
    runs++
  }
  const { restarts, requests } = await unharmed(sandbox, shielded)
  await stop(sandbox, shielded, ground)
  return `${kills} kills, ${restarts} restarts, ${runs} runs, ${requests.resent} requests resent`
}
