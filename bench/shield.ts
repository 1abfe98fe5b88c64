import assert from 'node:assert/strict'
import { existsSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
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
  const files = 50_000
  // A process may not have more files open than its limit says, which is 20,000 on some machines.
  const [openers, filesOfOne] = [4, 12_500]
  const { shielded, used, stat } = await shieldedNames(sandbox, files)
  const before = used()
  await stat()
  const known = await settled(() => used().dirty, before.dirty + 400 * files)
  const stateKnown = used().state
  const script = `import os,sys
held = [os.open(sys.argv[1] + "/file-%d" % (int(sys.argv[2]) + number), os.O_RDONLY) for number in range(${filesOfOne})]
print("ready", flush=True); sys.stdin.read()`
  const holders = Array.from({ length: openers }, (_, index) =>
    sandbox.start('sh', [
      ...['-c', `ulimit -n ${filesOfOne + 100}; exec python3 -c "$0" "$@"`, script],
      ...[shielded.mountpoint, String(index * filesOfOne)],
    ]),
  )
  await eventually('the files are open', () => holders.every((holder) => holder.output() === 'ready\n'), 120_000)
  const handles = openers * filesOfOne
  const open = await settled(() => used().dirty, known + 300 * handles)
  const stateOpen = used().state
  for (const holder of holders) {
    holder.child.stdin?.end()
    await holder.ended
  }
  await shielded.stop(sandbox)
  const row = (what: string, bytes: number, all: number): Row =>
    value({ work: `memory of the shield${what}`, unit: 'KB', limit: bytes / KB, ours: single('shield', all / KB) })
  return [
    row(' for each file that is known', 400, (known - before.dirty) / files),
    row(' for each open file', 300, (open - known) / handles),
    row("'s state for each file that is known", 250, (stateKnown - before.state) / files),
    row("'s state for each open file", 150, (stateOpen - stateKnown) / handles),
  ]
}

/** Bytes that are used, once they are not more than `most`, or after a minute: the shield has V8 collect what is garbage when little is going on. */
async function settled(used: () => number, most: number): Promise<number> {
  const end = performance.now() + 60_000
  while (used() > most && performance.now() < end) await sleep(1000)
  return used()
}

/** A shield before the C hello with so many files. */
async function shieldedNames(sandbox: Sandbox, files: number) {
  const shielded = await Shielded.start(sandbox, [await cHello(), '-f', `--names=${files}`, '{target}'], ['--read-only'])
  const { mountpoint } = shielded
  // What the first requests need is no file's.
  readdirSync(mountpoint)
  const script = `import os,sys
for number in range(${files}): os.stat(sys.argv[1] + "/file-%d" % number)`
  return {
    shielded,
    /** Bytes of its own, and of the file that it keeps for a successor. */
    used: () => ({ dirty: KB * KB * memoryOf('Private_Dirty', [shielded.shield ?? 0]), state: stateSize(shielded.shield) }),
    /** Has the kernel know all files. */
    stat: async () => {
      const { status, stderr } = await sandbox.run('python3', ['-c', script, mountpoint], { timeout: 1_800_000 })
      assert.equal(status, 0, stderr)
    },
  }
}

/** What is left of the memory of a million files when the kernel has forgotten them. */
async function forgotten(sandbox: Sandbox): Promise<readonly Row[]> {
  const files = 1_000_000
  const { shielded, used, stat } = await shieldedNames(sandbox, files)
  const all = (): number => used().dirty + used().state
  const known = async (): Promise<number> => (await shieldStatus(sandbox, shielded.mountpoint)).nodes
  const before = all()
  await stat()
  const limit = { known: 400, left: 40 }
  const most = await settled(all, before + limit.known * files)
  await eventually(
    'the kernel has forgotten the files',
    async () => {
      // Names and inodes alone, of all file systems; they are read anew when they are used.
      writeFileSync('/proc/sys/vm/drop_caches', '2')
      return (await known()) < files / 100
    },
    120_000,
  )
  const left = await settled(all, before + limit.left * files)
  await shielded.stop(sandbox)
  const row = (work: string, bytes: number, ours: number): Row =>
    value({ work, unit: 'MB', limit: (bytes * files) / KB / KB, ours: single('shield', (ours - before) / KB / KB) })
  return [
    row(`memory of the shield for ${files} known files`, limit.known, most),
    row('what is left of it when they are forgotten', limit.left, left),
  ]
}

/** Bytes of memory that the file takes which a shield keeps for its successor. */
function stateSize(shield = 0): number {
  const folder = `/proc/${shield}/fd`
  const fd = readdirSync(folder).find((name) => readlinkSync(join(folder, name)).includes('dummy-shield-state'))
  return fd === undefined ? 0 : 512 * statSync(join(folder, fd)).blocks
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
