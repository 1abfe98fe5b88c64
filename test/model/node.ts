import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { outcome } from '../support/csi-client.ts'
import { placeOf } from '../support/ephemeral.ts'
import { GREETING, layersAt, optionsAt } from '../support/mounts.ts'
import { mountCapability, type Plugin } from '../support/plugin.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import type { Capability, Model, Session } from './model.ts'
import type { Host } from './hosts.ts'

/** Milliseconds in which a call that can succeed when it is called again does so. */
const SETTLE_DEADLINE = 20_000

/** A real node with its plugin, on which commands of a model are carried out. Each run of commands has paths and volumes of its own. */
export class RealNode {
  readonly plugin: Plugin
  readonly host: Host
  readonly #sandbox: Sandbox
  readonly #prefix: string
  readonly #devices = new Map<Session, string>()

  constructor(sandbox: Sandbox, plugin: Plugin, host: Host, prefix: string) {
    this.#sandbox = sandbox
    this.plugin = plugin
    this.host = host
    this.#prefix = prefix
    sandbox.directory(prefix)
  }

  /** The real path of one of the model's. */
  path(name: string): string {
    const [, ephemeral] = /^place of (.*)$/.exec(name) ?? []
    if (ephemeral !== undefined) return placeOf(this.plugin, this.volume(ephemeral))
    return join(this.#sandbox.path, this.#prefix, name)
  }

  /** The real id of one of the model's volumes. */
  volume(name: string): string {
    return `${this.#prefix}-${name}`
  }

  capability({ accessMode, mountFlags }: Capability): ReturnType<typeof mountCapability> {
    return mountCapability(accessMode, mountFlags)
  }

  /** Calls once; the code it ends with. */
  async code(call: () => Promise<unknown>): Promise<string> {
    const { code, details } = await outcome(call())
    if (code === 'INTERNAL') assert.fail(`INTERNAL: ${details}`)
    return code
  }

  /** Calls again, as the kubelet does, until the code is none of those after which calling again may help. */
  async insist(call: () => Promise<unknown>): Promise<string> {
    return await eventually(
      'a call ends with a final code',
      async () => {
        const code = await this.code(call)
        return ['UNAVAILABLE', 'ABORTED', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'CANCELLED'].includes(code) ? undefined : code
      },
      SETTLE_DEADLINE,
    )
  }

  /** Everything on the node is as the model has it. */
  async check(model: Readonly<Model>): Promise<void> {
    const standing = [...model.staged].filter(([, { session }]) => session.state !== 'gone')
    const places = [...standing, ...model.published]
    for (const [name, { session }] of places) this.#checkMount(name, session)
    const sessions = [...new Set(places.map(([, { session }]) => session))]
    const devices = new Set(sessions.map((session) => this.#devices.get(session)))
    assert.equal(devices.size, sessions.length, 'sessions that are told apart')
    for (const [name, { readonly }] of model.published)
      assert.equal(optionsAt(this.path(name)).includes('ro'), readonly, `${name} is read-only`)
    const mounted = this.#sandbox.mounts()
    assert.deepEqual(mounted.sort(), places.map(([name]) => this.path(name)).sort(), 'mounts')
    const entries = [...model.published.keys()].map(() => 'published').concat([...model.staged.keys()].map(() => 'staged'))
    const found = this.plugin.entries().map((entry) => entry.split('/')[0])
    assert.deepEqual(found.sort(), entries, 'entries of the mount cache')
    await this.#checkReads(places.filter(([, { session }]) => session.state === 'alive').map(([name]) => name))
    const alive = [...model.staged.values()].filter(({ session }) => session.state === 'alive').length
    await eventually(`${alive} sessions are served`, async () => (await this.host.sessions()) === alive)
  }

  /** One mount stands there, of the session that the model has there and no other. */
  #checkMount(name: string, session: Session): void {
    const layers = layersAt(this.path(name))
    assert.equal(layers.length, 1, `mounts at ${name}`)
    const device = layers[0]?.device ?? ''
    assert.equal(device, this.#devices.get(session) ?? device, `the session at ${name}`)
    this.#devices.set(session, device)
  }

  async #checkReads(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const files = names.map((name) => join(this.path(name), 'dummy-file.txt'))
    const { stdout, stderr } = await this.#sandbox.run('cat', files, { timeout: 20_000 })
    assert.equal(stdout, GREETING.repeat(names.length), `reading ${names.join()}: ${stderr}`)
  }

  /** Takes everything off again, which leaves nothing. */
  async clear(model: Model): Promise<void> {
    for (const [name, { volume }] of [...model.published]) {
      assert.equal(await this.insist(() => this.plugin.unpublish(this.volume(volume), this.path(name))), 'OK')
      assert.ok(!existsSync(this.path(name)), `the target ${name} is still there`)
      model.unpublish(volume, name)
    }
    for (const [name, { volume }] of [...model.staged]) {
      assert.equal(await this.insist(() => this.plugin.unstage(this.volume(volume), this.path(name))), 'OK')
      model.unstage(volume, name)
    }
    await this.check(model)
  }

  /** Makes the node empty by force, after a failure. */
  async reset(): Promise<void> {
    await this.plugin.kill()
    for (const path of this.#sandbox.mounts()) spawnSync('umount', ['--lazy', path])
    for (const pid of this.plugin.daemons()) process.kill(pid, 'SIGKILL')
    rmSync(join(this.plugin.stateDir, 'mountcache'), { recursive: true, force: true })
    await this.plugin.restart()
  }
}
