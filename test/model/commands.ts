import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Node } from '../../src/rpc/csi_pb.ts'
import type { DaemonLoss } from './hosts.ts'
import { publishEphemeral } from '../support/ephemeral.ts'
import { type Capability, type Code, type Model, placeOf, type PublishCall } from './model.ts'
import type { RealNode } from './node.ts'

/** A call that the model knows the code of. */
interface Call {
  readonly title: string
  /** Changes a model, and tells the code. */
  expect(model: Model): Code
  /** Makes the call on a node. */
  make(node: RealNode): Promise<unknown>
}

type Command = fc.AsyncCommand<Model, RealNode>

const VOLUMES = ['a', 'b'] as const
/** Inline ephemeral volumes. */
const EPHEMERAL = ['e', 'f'] as const
/** Each may be a staging path and a target. */
const PATHS = ['p', 'q', 'r', 's'] as const

const volume = fc.constantFrom(...VOLUMES)
const ephemeral = fc.constantFrom(...EPHEMERAL)
const anyVolume = fc.constantFrom(...VOLUMES, ...EPHEMERAL)
const path = fc.constantFrom(...PATHS)
const capability: fc.Arbitrary<Capability> = fc.record({
  accessMode: fc.oneof(
    { weight: 5, arbitrary: fc.constant('MULTI_NODE_READER_ONLY' as const) },
    fc.constant('SINGLE_NODE_WRITER' as const),
  ),
  mountFlags: fc.oneof({ weight: 5, arbitrary: fc.constant([]) }, fc.constant(['allow_other'])),
})

const stage = fc.tuple(volume, path, capability).map(([id, at, cap]): Call => ({
  title: `Stage(${id} at ${at}, ${shown(cap)})`,
  expect: (model) => model.stage(id, at, cap),
  make: (node) => node.plugin.stage(node.volume(id), node.path(at), node.capability(cap)),
}))

const publish = fc.tuple(volume, path, path, fc.boolean(), capability).map(([id, staging, target, readonly, cap]): Call => {
  const call: PublishCall = { volume: id, staging, target, readonly, capability: cap }
  return {
    title: `Publish(${id} from ${staging} at ${target}, ${readonly ? 'ro' : 'rw'}, ${shown(cap)})`,
    expect: (model) => model.publish(call),
    make: (node) =>
      node.plugin.publish(node.volume(id), node.path(staging), node.path(target), { readonly, capability: node.capability(cap) }),
  }
})

const publishInline = fc.tuple(ephemeral, path, fc.boolean(), capability).map(([id, target, readonly, cap]): Call => ({
  title: `Publish(${id} without staging at ${target}, ${readonly ? 'ro' : 'rw'}, ${shown(cap)})`,
  expect: (model) => model.publishEphemeral({ volume: id, target, readonly, capability: cap }),
  make: (node) => {
    const more = { readonly, capability: node.capability(cap) }
    return publishEphemeral(node.plugin, node.volume(id), node.path(target), undefined, more)
  },
}))

const unpublish = fc.tuple(anyVolume, path).map(([id, at]): Call => ({
  title: `Unpublish(${id} at ${at})`,
  expect: (model) => model.unpublish(id, at),
  make: (node) => node.plugin.unpublish(node.volume(id), node.path(at)),
}))

const unstage = fc.tuple(volume, path).map(([id, at]): Call => ({
  title: `Unstage(${id} at ${at})`,
  expect: (model) => model.unstage(id, at),
  make: (node) => node.plugin.unstage(node.volume(id), node.path(at)),
}))

const stats = fc.tuple(anyVolume, path).map(([id, at]): Call => ({
  title: `Stats(${id} at ${at})`,
  expect: (model) => model.stats(id, at),
  make: (node) => node.plugin.call(Node.method.nodeGetVolumeStats, { volumeId: node.volume(id), volumePath: node.path(at) }),
}))

const change = fc.oneof(
  { weight: 3, arbitrary: stage },
  { weight: 4, arbitrary: publish },
  { weight: 2, arbitrary: publishInline },
  { weight: 2, arbitrary: unpublish },
  { weight: 2, arbitrary: unstage },
)

function shown({ accessMode, mountFlags }: Capability): string {
  return [accessMode === 'SINGLE_NODE_WRITER' ? 'one writer' : 'readers', ...mountFlags].join(' ')
}

/** A command that can always be run. */
function command(title: string, run: (model: Model, node: RealNode) => Promise<void>): Command {
  return {
    check: () => true,
    run: async (model, node) => {
      await run(model, node)
      await node.check(model)
    },
    toString: () => title,
  }
}

const plain = fc.oneof({ weight: 6, arbitrary: change }, stats).map((call) =>
  command(call.title, async (model, node) => {
    const expected = call.expect(model)
    assert.equal(await node.code(() => call.make(node)), expected, call.title)
  }),
)

const health = anyVolume.map((id) =>
  command(`Health(${id})`, async (model, node) => {
    const expected = model.health(id)
    const asked = node.plugin.reasons(node.volume(id))
    if (expected === 'NOT_FOUND') assert.equal(await node.code(() => asked), expected)
    else assert.deepEqual(await asked, expected)
  }),
)

const pluginDies = fc.constant(
  command('the plugin is killed', async (model, node) => {
    await node.plugin.kill()
    await node.plugin.restart()
    model.pluginRestarts()
  }),
)

/** What the end of a path's daemon means to the model. */
function lose(model: Model, at: string, loss: DaemonLoss): void {
  if (loss === 'volume') model.daemonDies(at)
  if (loss === 'all') model.everyDaemonDies()
}

function daemonDies(loss: DaemonLoss): fc.Arbitrary<Command> {
  const places = fc.oneof({ weight: 3, arbitrary: path }, { weight: 1, arbitrary: ephemeral.map(placeOf) })
  return places.map((at) =>
    command(`the daemon of ${at} is killed`, async (model, node) => {
      if (model.staged.get(at)?.session.state !== 'alive') return
      assert.ok(await node.host.killDaemon(node.path(at)), `no daemon serves ${at}`)
      lose(model, at, loss)
    }),
  )
}

/** Milliseconds from a call to a kill. */
const delay = fc.integer({ min: 0, max: 120 })

const pluginDiesMeanwhile = fc.tuple(change, delay).map(([call, ms]) =>
  command(`${call.title}, and the plugin is killed after ${ms} ms`, async (model, node) => {
    const first = node.code(() => call.make(node))
    first.catch(() => undefined)
    await sleep(ms)
    await node.plugin.kill()
    await first
    await node.plugin.restart()
    // The call may be done or not; calling it again makes it whole.
    const code = await node.insist(() => call.make(node))
    const doneBefore = model.copy()
    const codeBefore = call.expect(doneBefore)
    doneBefore.pluginRestarts()
    model.pluginRestarts()
    const codeAfter = call.expect(model)
    assert.ok(code === codeBefore || code === codeAfter, `${call.title}: ${code}, not ${codeBefore} or ${codeAfter}`)
    if (code !== codeAfter) model.become(doneBefore)
  }),
)

function daemonDiesMeanwhile(loss: DaemonLoss): fc.Arbitrary<Command> {
  return fc.tuple(volume, path, capability, delay).map(([id, at, cap, ms]) =>
    command(`Stage(${id} at ${at}, ${shown(cap)}), and its daemon is killed after ${ms} ms`, async (model, node) => {
      const make = (): Promise<unknown> => node.plugin.stage(node.volume(id), node.path(at), node.capability(cap))
      const alive = model.staged.get(at)?.session.state === 'alive'
      const first = node.code(make)
      first.catch(() => undefined)
      await sleep(ms)
      const killed = await node.host.killDaemon(node.path(at))
      await first
      if (killed && (alive || loss === 'all')) lose(model, at, loss)
      const expected = model.stage(id, at, cap)
      assert.equal(await node.insist(make), expected)
    }),
  )
}

/** Sequences of calls and crashes, `most` of them at most. */
export function commands(loss: DaemonLoss, most: number): fc.Arbitrary<Iterable<Command>> {
  const often = (one: fc.Arbitrary<Command>, times: number): readonly fc.Arbitrary<Command>[] =>
    Array.from({ length: times }, () => one)
  return fc.commands(
    [
      ...often(plain, 12),
      ...often(health, 2),
      pluginDies,
      ...often(daemonDies(loss), 2),
      pluginDiesMeanwhile,
      daemonDiesMeanwhile(loss),
    ],
    { maxCommands: most, size: 'max' },
  )
}
