import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DescMethod } from '@bufbuild/protobuf'
import { type Client, status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { sendDatagram } from '../../src/os/sockets/unix-datagram.ts'
import { Controller, Identity, Node } from '../../src/rpc/csi_pb.ts'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { CsiClient, outcome, RPC_LIMIT } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { Plugin } from '../support/plugin.ts'
import { descriptorsOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import { Volume } from '../support/volume.ts'
import { anyBytes, anyMessage, type Pool } from './messages.ts'

/** How much is sent to each server. */
export interface HostileScale {
  readonly seed: number
  /** Requests made of the methods' types. */
  readonly requests: number
  /** Connections with bytes that are no HTTP/2, or that end or stop in the middle of it. */
  readonly connections: number
  /** Messages to the notify socket of keep. */
  readonly messages: number
}

/** What came of it. */
export interface HostileOutcome {
  /** Answers by their status. */
  readonly answers: ReadonlyMap<string, number>
  /** What should not be, in sentences; each once. */
  readonly findings: readonly string[]
}

/** Calls at the same time. */
const AT_ONCE = 16

/** How much more memory a server may have after all of it than after the first half, in KiB: its heap grows and shrinks by as much. */
const MOST_GROWTH = 64 * 1024

/** Descriptors that come and go by themselves. */
const MOST_DESCRIPTORS = 16

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** Paths of mutated requests: a changed byte must not make another absolute path of one. */
const NOWHERE: Pool = { paths: ['x'], values: ['one', 'x'] }

/** A server to send to. */
interface Target {
  readonly name: string
  readonly socket: string
  readonly methods: readonly DescMethod[]
  readonly pool: Pool
  readonly pid: () => number
  /** A call of an ordinary client. */
  readonly probe: (client: CsiClient) => Promise<unknown>
}

class Run {
  readonly answers = new Map<string, number>()
  readonly findings = new Set<string>()
  readonly #scale: HostileScale
  readonly #target: Target

  constructor(scale: HostileScale, target: Target) {
    this.#scale = scale
    this.#target = target
  }

  /** Sends everything, while another client calls and is served. */
  async all(): Promise<void> {
    const { requests, connections } = this.#scale
    const { pid, name } = this.#target
    const before = pid()
    const over = new AbortController()
    const watched = this.#watch(over.signal)
    let [memory, descriptors] = [0, 0]
    try {
      await this.#requests(Math.ceil(requests / 2), 0)
      await this.#garbage(Math.ceil(connections / 2), 0)
      ;[memory, descriptors] = [residentMemory(before), descriptorsOf(before).length]
      await this.#requests(Math.floor(requests / 2), 1)
      await this.#garbage(Math.floor(connections / 2), 1)
    } finally {
      // A failure must not leave it asking for ever.
      over.abort()
      await watched
    }
    if (pid() !== before) this.findings.add(`${name} ended and was started again`)
    const after = (): number => descriptorsOf(before).length
    await eventually(`${name} has as few descriptors as before`, () => after() <= descriptors + MOST_DESCRIPTORS).catch(() => {
      this.findings.add(`${name} has ${after()} descriptors, after ${descriptors}`)
    })
    const grown = (): number => residentMemory(before) - memory
    await eventually(`${name} has as little memory as before`, () => grown() <= MOST_GROWTH).catch(() => {
      this.findings.add(`${name} has ${grown()} KiB more memory after the second half`)
    })
  }

  async #watch(over: AbortSignal): Promise<void> {
    using client = new CsiClient(this.#target.socket)
    while (!over.aborted) {
      const { code, details } = await outcome(this.#target.probe(client))
      if (code !== 'OK') this.findings.add(`another client of ${this.#target.name} gets ${code}: ${details}`)
      await sleep(20)
    }
  }

  async #requests(count: number, half: number): Promise<void> {
    const { methods, pool, socket } = this.#target
    const each = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom(...methods).chain((method) => fc.tuple(fc.constant(method), anyMessage(method.input, pool))),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom(...methods).chain((method) => fc.tuple(fc.constant(method), anyBytes(method.input, NOWHERE))),
      },
    )
    const all = fc.sample(each, { numRuns: count, seed: this.#scale.seed + half })
    using client = new CsiClient(socket)
    const workers = Array.from({ length: AT_ONCE }, async () => {
      for (let next = all.pop(); next !== undefined; next = all.pop()) await this.#send(client.raw, ...next)
    })
    await Promise.all(workers)
  }

  async #send(client: Client, method: DescMethod, bytes: Uint8Array): Promise<void> {
    const same = (buffer: Buffer): Buffer => buffer
    const { code, details } = await new Promise<{ code: status; details: string }>((resolve) => {
      const path = `/${method.parent.typeName}/${method.name}`
      const deadline = Date.now() + 2 * RPC_LIMIT
      client.makeUnaryRequest(path, same, same, Buffer.from(bytes), { deadline } as never, (error) => {
        resolve({ code: error?.code ?? status.OK, details: error?.details ?? '' })
      })
    })
    const name = status[code]
    this.answers.set(name, (this.answers.get(name) ?? 0) + 1)
    const undecoded = details.startsWith('Error deserializing request')
    if ((code === status.INTERNAL && !undecoded) || code === status.UNKNOWN)
      this.findings.add(`${method.name} is ${name}: ${details.slice(0, 200)}`)
  }

  /** Bytes that are no HTTP/2, frames that are no frames, and silence. */
  async #garbage(count: number, half: number): Promise<void> {
    const bytes = fc.uint8Array({ maxLength: 300, size: 'max' })
    const each = fc.tuple(fc.constantFrom('', PREFACE, PREFACE.slice(0, 10), 'GET / HTTP/1.1\r\n\r\n'), bytes, fc.boolean())
    const open: Socket[] = []
    for (const [start, rest, ends] of fc.sample(each, { numRuns: count, seed: this.#scale.seed + half })) {
      const socket = connect(this.#target.socket)
      socket.on('error', () => undefined).resume()
      socket.write(Buffer.concat([Buffer.from(start), rest]))
      if (ends) socket.end()
      open.push(socket)
      if (open.length % 50 === 0) await sleep(1)
    }
    await sleep(100)
    for (const socket of open) socket.destroy()
  }
}

/** Sends hostile bytes to `serve`, and looks at what it has become. */
export async function hostileToPlugin(scale: HostileScale): Promise<HostileOutcome> {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, {
    args: ['--role', 'identity,node,controller'],
    log: join(sandbox.path, 'plugin.log'),
  })
  const held = new Volume(sandbox, plugin, 'held')
  await held.stage()
  await held.publish()
  const folder = sandbox.directory('fuzzed')
  const pool: Pool = {
    paths: ['a', 'b', 'c', 'a/inside', 'missing/below'].map((name) => join(folder, name)),
    values: ['one', 'two', 'ro', 'fuse', 'dummy', 'allow_other'],
  }
  for (const name of ['a', 'b']) sandbox.directory('fuzzed', name)
  const methods = [Identity, Node, Controller].flatMap((service) => service.methods)
  const target: Target = {
    name: 'serve',
    socket: plugin.socket,
    methods,
    pool,
    pid: () => plugin.pid,
    probe: async (client) => await client.call(Identity.method.probe),
  }
  const run = new Run(scale, target)
  await run.all()
  if (!plugin.running) run.findings.add('serve has ended')
  if (!(await serves(sandbox, held.target))) run.findings.add('the volume that was published all the while is not served')
  // What the requests left is taken off by ordinary calls.
  for (const volumeId of pool.values) {
    for (const path of pool.paths) {
      await outcome(plugin.unpublish(volumeId, path))
      await outcome(plugin.unstage(volumeId, path))
    }
  }
  for (const path of sandbox.mounts().filter((mount) => mount.startsWith(folder))) run.findings.add(`${path} is left mounted`)
  await held.unpublish()
  await held.unstage()
  const { status: end } = await plugin.stop()
  if (end !== 0) run.findings.add(`serve ends with ${end ?? 'a signal'}`)
  return { answers: run.answers, findings: [...run.findings] }
}

/** Sends hostile bytes to a dummy-fused and to the notify socket of the keep that runs it. */
export async function hostileToFused(scale: HostileScale): Promise<HostileOutcome> {
  await using sandbox = new Sandbox()
  const fused = await FusedProcess.start(sandbox, { keep: [] })
  const held = sandbox.directory('held')
  await fused.mount(held)
  const folder = sandbox.directory('fuzzed')
  for (const name of ['a', 'b']) sandbox.directory('fuzzed', name)
  const paths = ['a', 'b', 'missing'].map((name) => join(folder, name))
  const target: Target = {
    name: 'dummy-fused',
    socket: fused.socket,
    // Drain ends it.
    methods: Fused.methods.filter(({ name }) => name !== 'Drain'),
    pool: { paths, values: [...paths, 'ro', 'allow_other', 'attr_timeout=1', 'max_read=4096'] },
    pid: () => fused.pid,
    probe: async (client) => await client.call(Fused.method.list),
  }
  const run = new Run(scale, target)
  await run.all()
  await strangersToKeep(scale, fused, run.findings)
  if (!(await serves(sandbox, held))) run.findings.add('the session that was mounted all the while is not served')
  for (const path of paths) await outcome(fused.unmount(path))
  for (const path of sandbox.mounts().filter((mount) => mount.startsWith(folder))) run.findings.add(`${path} is left mounted`)
  await fused.unmount(held)
  const { status: end } = await fused.stop()
  if (end !== 0) run.findings.add(`keep ends with ${end ?? 'a signal'}`)
  return { answers: run.answers, findings: [...run.findings] }
}

/** Messages of a process that is none of keep's, some with a descriptor. */
async function strangersToKeep({ messages, seed }: HostileScale, fused: FusedProcess, findings: Set<string>): Promise<void> {
  const environment = readFileSync(`/proc/${fused.pid}/environ`, 'utf8').split('\0')
  const address = environment.find((pair) => pair.startsWith('NOTIFY_SOCKET='))?.slice('NOTIFY_SOCKET='.length) ?? ''
  const libc = new Libc(new AddonLoader())
  const keep = fused.running.pid
  const [before, lines] = [descriptorsOf(keep).length, fused.log().split('\n').length]
  const parts = fc.constantFrom(
    'FDSTORE=1',
    'FDSTOREREMOVE=1',
    'FDNAME=x',
    'STOPPING=1',
    'READY=1',
    'MAINPID=1',
    'BARRIER=1',
    'STATUS=x',
  )
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(parts, { maxLength: 5 }).map((all) => Buffer.from(all.join('\n'))),
  )
  for (const bytes of fc.sample(payload, { numRuns: messages, seed })) {
    for (let sent = false; !sent;) {
      try {
        sendDatagram(libc, address, Buffer.from(bytes), bytes.length % 3 === 0 ? [0] : [])
        sent = true
      } catch {
        // Its queue is full.
        await sleep(1)
      }
    }
  }
  await eventually('keep has closed what strangers sent', () => descriptorsOf(keep).length <= before + MOST_DESCRIPTORS)
  const more = fused.log().split('\n').length - lines
  if (more > 100) findings.add(`keep logs ${more} lines about ${messages} messages of strangers`)
}

function residentMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}
