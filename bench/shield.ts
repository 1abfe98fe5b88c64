import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox } from '../test/support/sandbox.ts'
import { DAEMONS } from '../test/support/shield-daemons.ts'
import { Shielded, shieldStatus } from '../test/support/shield.ts'
import { eventually } from '../test/support/wait.ts'
import { alternate, figures, medians, timed } from './measure.ts'
import type { Measurement } from './measurement.ts'
import { memoryOf } from './memory.ts'
import { cHello, fileIn, latencies, type LatencyRun } from './peers/peers.ts'
import { difference, ratio, type Row, single, value } from './row.ts'
import { Spawner } from './spawner.ts'

const KB = 1024
const LARGE = 100 * KB * KB

/** What is read of a daemon, with and without a shield before it. */
interface Work extends Omit<LatencyRun, 'files' | 'mode'> {
  readonly mode: 'lookup' | 'block' | 'whole'
  readonly work: string
  readonly limit: number
}

/** How a daemon is started, in the foreground; `{target}` is where it mounts. */
type Command = (sandbox: Sandbox) => Promise<readonly string[]>

const LOOKUPS: readonly Work[] = [{ work: 'LOOKUP, 1 reader', mode: 'lookup', readers: 1, rounds: 4000, limit: 3 }]

const BLOCKS: readonly Work[] = [
  { work: 'direct reads of 4 KiB, 1 reader', mode: 'block', readers: 1, rounds: 4000, block: 4 * KB, limit: 3.5 },
  { work: 'direct reads of 128 KiB, 1 reader', mode: 'block', readers: 1, rounds: 700, block: 128 * KB, limit: 2.8 },
  // 0.35 of the reads in the same time.
  { work: 'direct reads of 4 KiB, 8 readers', mode: 'block', readers: 8, rounds: 700, block: 4 * KB, limit: 1 / 0.35 },
]

/** Programs whose files are read whole, and the least part of the bytes in the same time. */
const WHOLE = { sshfs: 0.9, gocryptfs: 0.75, bindfs: 0.6 } as const

const hello: Command = async () => [await cHello(), '-f', '{target}']

/** The kernel keeps the attributes of its file: a read is one request. */
const largeHello: Command = async () => [await cHello(), '-f', `--size=${LARGE}`, '--attr-timeout=3600', '{target}']

/** A file of 100 MiB of each program, one after the other. */
async function whole(rounds: number): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const [name, part] of Object.entries(WHOLE)) {
    await using own = new Sandbox()
    const work = {
      work: `100 MiB of ${name} in order`,
      mode: 'whole',
      readers: 1,
      rounds: 2,
      block: 128 * KB,
      limit: 1 / part,
    } as const
    const command: Command = async () => {
      const folder = own.directory('shown')
      writeFileSync(fileIn(folder), Buffer.alloc(LARGE, 1))
      return (await DAEMONS[name]?.(own, folder)) ?? []
    }
    rows.push(...(await beside(own, rounds, command, [work])))
  }
  return rows
}

/** The same daemon, once alone and once behind a shield, in turn. */
async function beside(sandbox: Sandbox, rounds: number, command: Command, works: readonly Work[]): Promise<readonly Row[]> {
  const words = await command(sandbox)
  const direct = sandbox.directory('direct')
  const [program = '', ...args] = words.map((word) => word.replace('{target}', direct))
  sandbox.start(program, args)
  await eventually('the daemon has mounted', () => existsSync(fileIn(direct)))
  const shielded = await Shielded.start(sandbox, words, ['--read-only'])
  const { mountpoint } = shielded
  const rows: Row[] = []
  for (const { work, limit, ...run } of works) {
    const times = await alternate(
      rounds,
      async () => await latencies(sandbox, { ...run, files: [fileIn(mountpoint)] }),
      async () => await latencies(sandbox, { ...run, files: [fileIn(direct)] }),
    )
    rows.push(
      ratio({
        work: `${work}, through the shield`,
        unit: 'µs',
        limit,
        ours: medians('shield', times.ours),
        peer: medians('without', times.peer),
      }),
    )
  }
  // The sandbox has the mount of the other daemon still.
  shielded.running.child.kill('SIGTERM')
  await shielded.running.ended
  return rows
}

/** How long a LOOKUP waits when the daemon is killed, beside what the daemon itself takes to start. */
async function stall(sandbox: Sandbox, rounds: number): Promise<readonly Row[]> {
  const shielded = await Shielded.start(sandbox, await hello(sandbox), ['--read-only'])
  using spawner = new Spawner()
  const byHand = sandbox.directory('by-hand')
  const program = await cHello()
  const times = await alternate(
    rounds,
    async () => {
      const served = shielded.served
      shielded.killAtOnce()
      const took = await timed(async () => await lstat(fileIn(shielded.mountpoint)))
      await eventually('the next daemon serves', () => shielded.served > served)
      return took
    },
    async () => await spawner.timed({ act: [[program, byHand]], undo: [['umount', byHand]] }),
  )
  await shielded.stop(sandbox)
  const ours = figures('shield', times.ours)
  return [difference({ work: 'stall at the death of the daemon', unit: 'ms', limit: 10, ours, peer: figures('start', times.peer) })]
}

/** Memory of a shield whose kernel knows many files, and has many open. */
async function memory(sandbox: Sandbox): Promise<readonly Row[]> {
  const [files, handles] = [50_000, 50_000]
  const folder = sandbox.directory('shown')
  mkdirSync(join(folder, 'files'))
  for (let number = 0; number < files; number++) writeFileSync(join(folder, 'files', `file-${number}`), '')
  const shielded = await Shielded.start(
    sandbox,
    ['prlimit', `--nofile=${2 * handles}`, 'bindfs', '-f', folder, '{target}'],
    ['--read-only'],
  )
  const place = join(shielded.mountpoint, 'files')
  const dirty = (): number => KB * memoryOf('Private_Dirty', [shielded.shield ?? 0])
  // What the first requests need is no file's.
  readdirSync(shielded.mountpoint)
  const [before, stateBefore] = [dirty(), stateSize(shielded.shield)]
  await sandbox.run('find', [place, '-size', '+1k'])
  const [known, stateKnown] = [dirty(), stateSize(shielded.shield)]
  const opener = `ulimit -n ${2 * handles}; exec python3 -c 'import os,sys
held = [os.open(sys.argv[1] + "/file-%d" % number, os.O_RDONLY) for number in range(${handles})]
print("ready", flush=True); sys.stdin.read()' "$0"`
  const holder = sandbox.start('sh', ['-c', opener, place])
  await eventually('the files are open', () => holder.output() === 'ready\n', 120_000)
  const [open, stateOpen] = [dirty(), stateSize(shielded.shield)]
  holder.child.stdin?.end()
  await holder.ended
  await shielded.stop(sandbox)
  const row = (what: string, bytes: number, used: number): Row =>
    value({ work: `memory of the shield${what}`, unit: 'KB', limit: bytes / KB, ours: single('shield', used) })
  return [
    row(' for each file that is known', 400, (known - before) / files),
    row(' for each open file', 300, (open - known) / handles),
    row("'s state for each file that is known", 250, (stateKnown - stateBefore) / files),
    row("'s state for each open file", 150, (stateOpen - stateKnown) / handles),
  ]
}

/** What is left of the memory of a million files when the kernel has forgotten them. */
async function forgotten(sandbox: Sandbox): Promise<readonly Row[]> {
  const files = 1_000_000
  const shielded = await Shielded.start(sandbox, [await cHello(), '-f', `--names=${files}`, '{target}'], ['--read-only'])
  const { mountpoint } = shielded
  const used = (): number => memoryOf('Private_Dirty', [shielded.shield ?? 0]) + stateSize(shielded.shield) / KB
  const known = async (): Promise<number> => (await shieldStatus(sandbox, mountpoint)).nodes
  readdirSync(mountpoint)
  const before = used()
  const script = `import os,sys
for number in range(${files}): os.stat(sys.argv[1] + "/file-%d" % number)`
  assert.equal((await sandbox.run('python3', ['-c', script, mountpoint], { timeout: 1_800_000 })).status, 0)
  const limit = { known: 400, left: 40 }
  // The shield has V8 collect what is garbage when little is going on.
  const settled = async (bytes: number): Promise<number> => {
    const end = performance.now() + 60_000
    while (used() - before > (bytes * files) / KB / KB && performance.now() < end) await sleep(1000)
    return used() - before
  }
  const most = await settled(limit.known)
  await eventually(
    'the kernel has forgotten the files',
    async () => {
      // Names and inodes alone, of all file systems; they are read anew when they are used.
      writeFileSync('/proc/sys/vm/drop_caches', '2')
      return (await known()) < files / 100
    },
    120_000,
  )
  const row = (work: string, bytes: number, ours: number): Row =>
    value({ work, unit: 'MB', limit: (bytes * files) / KB / KB, ours: single('shield', ours) })
  const left = await settled(limit.left)
  await shielded.stop(sandbox)
  return [
    row(`memory of the shield for ${files} known files`, limit.known, most),
    row('what is left of it when they are forgotten', limit.left, left),
  ]
}

/** Kilobytes of memory that the file takes which a shield keeps for its successor. */
function stateSize(shield = 0): number {
  const folder = `/proc/${shield}/fd`
  const fd = readdirSync(folder).find((name) => readlinkSync(join(folder, name)).includes('dummy-shield-state'))
  return fd === undefined ? 0 : statSync(join(folder, fd)).blocks / 2
}

export const shields: readonly Measurement[] = [
  {
    name: 'shield-lookup',
    about: 'LOOKUP through the shield',
    measure: async (sandbox, rounds) => await beside(sandbox, rounds, hello, LOOKUPS),
  },
  {
    name: 'shield-blocks',
    about: 'direct reads through the shield',
    measure: async (sandbox, rounds) => await beside(sandbox, rounds, largeHello, BLOCKS),
  },
  {
    name: 'shield-whole',
    about: 'a large file of sshfs, gocryptfs and bindfs through the shield',
    measure: async (_, rounds) => await whole(rounds),
  },
  { name: 'shield-stall', about: 'the death of a daemon behind the shield', measure: stall },
  { name: 'shield-memory', about: 'memory of the shield', measure: memory },
  { name: 'shield-forgotten', about: 'memory of the shield for a million files, and when they are forgotten', measure: forgotten },
]
