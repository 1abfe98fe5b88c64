import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { KubeletRegistration, type RegistrationLimits } from '../../src/kubelet/registration.ts'
import type { RegistrationState } from '../../src/kubelet/registration-state.ts'
import { readRegistration, RegistrationRecord } from '../../src/kubelet/registration-record.ts'
import { isSocketOf, socketName } from '../../src/kubelet/socket-name.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { Registration } from '../../src/rpc/pluginregistration_pb.ts'
import { CsiClient } from '../support/csi-client.ts'
import { mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())
const SERVER = {
  connections: 10,
  streams: 10,
  handshake: 10_000,
  drain: 1000,
  hangUp: 200,
  calls: { standard: 10_000, longest: 10_000, margin: 1000 },
}
/** Nothing comes about by itself within a test, but for what it names. */
const NEVER: RegistrationLimits = {
  unasked: 3_600_000,
  look: 3_600_000,
  rename: { first: 3_600_000, longest: 3_600_000 },
  overlooked: { first: 3_600_000, longest: 3_600_000 },
}

/** A registration in a folder of its own, and the kubelet's half of it. */
class Registering implements AsyncDisposable {
  readonly folder: string
  readonly states: RegistrationState[] = []
  readonly registration: KubeletRegistration
  readonly #lines: string[] = []

  constructor(sandbox: Sandbox, limits: Partial<RegistrationLimits>, driverName: string) {
    this.folder = join(sandbox.path, 'plugins_registry')
    const log = new Logger((line) => this.#lines.push(line))
    this.registration = new KubeletRegistration({
      libc,
      folder: this.folder,
      driverName,
      endpoint: '/var/lib/kubelet/plugins/dummy/csi.sock',
      limits: { ...NEVER, ...limits },
      server: SERVER,
      intercept: (_method, _request, act) => act(),
      record: new RegistrationRecord(sandbox.path, log),
      onChange: (state) => this.states.push(state),
      log,
    })
  }

  static async begin(sandbox: Sandbox, limits: Partial<RegistrationLimits> = {}, driverName = 'dummy'): Promise<Registering> {
    const registering = new Registering(sandbox, limits, driverName)
    await registering.registration.begin()
    return registering
  }

  log(): string {
    return this.#lines.join('')
  }

  sockets(): string[] {
    return readdirSync(this.folder).sort()
  }

  kinds(): string[] {
    return this.states.map(({ kind }) => kind)
  }

  /** Asks as a kubelet that has found a socket does, and gives its answer; undefined: it was registered. */
  async find(socket: string, refusal?: string): Promise<unknown> {
    using client = new CsiClient(join(this.folder, socket))
    const { type, name, endpoint, supportedVersions } = await client.call(Registration.method.getInfo)
    const status = { pluginRegistered: refusal === undefined, error: refusal ?? '' }
    await client.call(Registration.method.notifyRegistrationStatus, status)
    return { type, name, endpoint, supportedVersions }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registration.close()
  }
}

describe('KubeletRegistration', () => {
  it('makes the folder and a socket that only root can use, and answers what the kubelet asks for', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox)
    assert.deepEqual(registering.sockets(), ['dummy-reg.sock'])
    assert.equal(statSync(join(registering.folder, 'dummy-reg.sock')).mode & 0o777, 0o600)
    assert.deepEqual(await registering.find('dummy-reg.sock'), {
      type: 'CSIPlugin',
      name: 'dummy',
      endpoint: '/var/lib/kubelet/plugins/dummy/csi.sock',
      supportedVersions: ['1.0.0'],
    })
    assert.deepEqual(registering.kinds(), ['waiting', 'asked', 'registered'])
    assert.equal(registering.registration.unavailableReason, undefined)
  })

  it('is asked again by a kubelet that was restarted', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox)
    await registering.find('dummy-reg.sock')
    await registering.find('dummy-reg.sock')
    assert.deepEqual(registering.kinds(), ['waiting', 'asked', 'registered', 'asked', 'registered'])
  })

  it('stays after a refusal, says why, and takes another name, each time later', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { rename: { first: 50, longest: 100 } })
    await registering.find('dummy-reg.sock', 'no such endpoint')
    assert.equal(registering.registration.unavailableReason, 'the kubelet refuses to register the plugin: no such endpoint')
    assert.match(registering.log(), /the kubelet refused to register dummy with the endpoint .*csi\.sock: no such endpoint/)
    await eventually('the second name is the only one', () => registering.sockets().join() === 'dummy-reg-2.sock')
    await registering.find('dummy-reg-2.sock', 'no such endpoint')
    await eventually('the third name is the only one', () => registering.sockets().join() === 'dummy-reg-3.sock')
    await registering.find('dummy-reg-3.sock')
    assert.equal(registering.registration.unavailableReason, undefined)
  })

  for (const [when, limits] of Object.entries({
    'tries again': {},
    'asks by another name': { rename: { first: 50, longest: 3_600_000 } },
  }))
    it(`says why the kubelet refused it while the kubelet ${when}, until it is registered`, async () => {
      await using sandbox = new Sandbox()
      await using registering = await Registering.begin(sandbox, limits)
      await registering.find('dummy-reg.sock', 'no such endpoint')
      const recorded = readRegistration(sandbox.path)
      assert.equal(recorded?.message, 'no such endpoint')
      const socket = 'rename' in limits ? 'dummy-reg-2.sock' : 'dummy-reg.sock'
      await eventually('the socket is there', () => registering.sockets().join() === socket)
      using client = new CsiClient(join(registering.folder, socket))
      await client.call(Registration.method.getInfo)
      assert.equal(registering.registration.unavailableReason, 'the kubelet refuses to register the plugin: no such endpoint')
      assert.deepEqual(readRegistration(sandbox.path), recorded)
      await client.call(Registration.method.notifyRegistrationStatus, { pluginRegistered: true, error: '' })
      assert.equal(registering.registration.unavailableReason, undefined)
      await client.call(Registration.method.getInfo)
      assert.deepEqual(registering.kinds(), ['waiting', 'asked', 'refused', 'registered', 'asked'])
    })

  it('keeps its name while the kubelet tries again by itself', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { rename: { first: 3000, longest: 3_600_000 } })
    await using other = await Registering.begin(sandbox, { rename: { first: 3000, longest: 3_600_000 } }, 'other')
    await registering.find('dummy-reg.sock', 'not yet')
    await registering.find('dummy-reg.sock')
    await other.find('other-reg.sock', 'not yet')
    await eventually('the other driver has another name', () => registering.sockets().includes('other-reg-2.sock'))
    assert.deepEqual(registering.kinds(), ['waiting', 'asked', 'refused', 'registered'])
    assert.ok(registering.sockets().includes('dummy-reg.sock'))
  })

  it('takes another name as soon as a kubelet that tries more and more rarely has kept away for so long', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { rename: { first: 3000, longest: 3_600_000 } })
    for (let attempt = 0; attempt < 5; attempt++) await registering.find('dummy-reg.sock', 'not yet')
    await eventually('it has another name', () => registering.sockets().join() === 'dummy-reg-2.sock')
  })

  it('takes another name, each time later, when the kubelet does not ask by the one it has', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { overlooked: { first: 50, longest: 3_600_000 } })
    await eventually('it has the third name', () => registering.sockets().join() === 'dummy-reg-3.sock')
  })

  it('waits again when its socket was removed, and takes another name when the kubelet does not ask by the new one', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { overlooked: { first: 3000, longest: 3_600_000 } })
    await registering.find('dummy-reg.sock')
    assert.equal(registering.registration.unregisteredReason, undefined)
    rmSync(join(registering.folder, 'dummy-reg.sock'))
    await eventually('it waits', () => registering.kinds().join() === 'waiting,asked,registered,waiting')
    assert.equal(registering.registration.unregisteredReason, 'the kubelet has not registered dummy yet')
    await eventually('it has another name', () => registering.sockets().join() === 'dummy-reg-2.sock')
    await registering.find('dummy-reg-2.sock')
    assert.equal(registering.registration.unregisteredReason, undefined)
  })

  it('removes its socket when it ends, also one that was renamed', async () => {
    await using sandbox = new Sandbox()
    const registering = await Registering.begin(sandbox, { rename: { first: 1, longest: 3_600_000 } })
    await registering.find('dummy-reg.sock', 'no')
    await eventually('it has another name', () => registering.sockets().join() === 'dummy-reg-2.sock')
    await registering.registration.close()
    assert.deepEqual(registering.sockets(), [])
  })

  it('warns once of a kubelet that does not ask', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { unasked: 20 })
    const warning = /no kubelet has asked for the plugin at .*plugins_registry .*--kubelet-registration-dir/
    await eventually('it warns', () => warning.test(registering.log()))
  })

  for (const how of ['moved', 'removed'] as const)
    it(`says in a container that the folder was ${how} on the node`, async () => {
      await using sandbox = new Sandbox()
      const node = sandbox.directory('node')
      mount('--bind', node, sandbox.directory('plugins_registry'))
      await using registering = await Registering.begin(sandbox, { look: 20 })
      await registering.find('dummy-reg.sock')
      if (how === 'moved') renameSync(node, `${node}-old`)
      else rmSync(node, { recursive: true })
      const says =
        'was removed or moved on the node, and this container has the former one; restart the kubelet, then this container'
      await eventually('it says so', () => registering.registration.unavailableReason?.includes(says))
    })

  const WAYS: Readonly<Record<string, { readonly act: (folder: string) => void; readonly says: RegExp }>> = {
    removed: {
      act: (folder) => rmSync(folder, { recursive: true }),
      says: /was removed, and the kubelet sees no plugin any more; restart the kubelet/,
    },
    replaced: {
      act: (folder) => {
        renameSync(folder, `${folder}-old`)
        mkdirSync(folder)
      },
      says: /was replaced, and the kubelet watches the former one; restart the kubelet/,
    },
  }
  for (const [how, { act, says }] of Object.entries(WAYS)) {
    it(`says that the kubelet is blind while its folder is ${how}, until the kubelet asks again`, async () => {
      await using sandbox = new Sandbox()
      await using registering = await Registering.begin(sandbox, { look: 20 })
      await registering.find('dummy-reg.sock')
      act(registering.folder)
      await eventually('it says so', () => says.test(registering.registration.unavailableReason ?? ''))
      assert.match(registering.log(), says)
      await eventually('the socket is there again', () => {
        mkdirSync(registering.folder, { recursive: true })
        return registering.sockets().includes('dummy-reg.sock')
      })
      await registering.find('dummy-reg.sock')
      assert.equal(registering.registration.unavailableReason, undefined)
    })
  }

  const BLOCKS: Readonly<
    Record<string, { readonly put: (path: string) => Promise<AsyncDisposable | undefined>; readonly says: RegExp }>
  > = {
    'a folder': {
      put: async (path) => {
        await mkdir(path)
        return undefined
      },
      says: /exists and is no socket; remove it, or leave out --kubelet-registration-dir$/,
    },
    'another process': {
      put: async (path) => {
        const other = createServer()
        await new Promise<void>((resolve) => {
          other.listen(path, resolve)
        })
        return other
      },
      says: /another process listens on .*; stop it, or leave out --kubelet-registration-dir$/,
    },
  }
  for (const [what, { put, says }] of Object.entries(BLOCKS)) {
    it(`says that ${what} has taken the place of its socket, and registers by another name`, async () => {
      await using sandbox = new Sandbox()
      await using registering = await Registering.begin(sandbox)
      await registering.find('dummy-reg.sock')
      const path = join(registering.folder, 'dummy-reg.sock')
      rmSync(path)
      await using _ = await put(path)
      await eventually('it has another name', () => registering.sockets().join() === 'dummy-reg-2.sock,dummy-reg.sock')
      const reason = registering.registration.unavailableReason ?? ''
      assert.match(reason, /the kubelet does not reach dummy by its socket: another file is in the place of the socket/)
      assert.match(reason, says)
      assert.ok(registering.log().includes(reason))
      const { state, message } = readRegistration(sandbox.path) ?? {}
      assert.deepEqual({ state, message }, { state: 'lost', message: reason })
      await registering.find('dummy-reg-2.sock')
      assert.equal(registering.registration.unavailableReason, undefined)
      assert.deepEqual(registering.kinds(), ['waiting', 'asked', 'registered', 'lost', 'asked', 'registered'])
    })
  }

  it('tries the next name when one cannot be made, each time later', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { rename: { first: 50, longest: 400 } })
    for (const name of ['dummy-reg-2.sock', 'dummy-reg-3.sock']) mkdirSync(join(registering.folder, name))
    await registering.find('dummy-reg.sock', 'no such endpoint')
    await eventually('it has the fourth name', () => registering.sockets().includes('dummy-reg-4.sock'))
    await eventually('the first name is gone', () => !registering.sockets().includes('dummy-reg.sock'))
    const said = (name: string, pause: number): RegExp =>
      new RegExp(
        `cannot make another socket for the kubelet in .*${name} exists and is no socket; .*; the next name is tried in ${pause} s`,
      )
    assert.match(registering.log(), said('dummy-reg-2.sock', 0.1))
    assert.match(registering.log(), said('dummy-reg-3.sock', 0.2))
  })

  it('tries another name again where it cannot make any', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox, { rename: { first: 50, longest: 50 } })
    using client = new CsiClient(join(registering.folder, 'dummy-reg.sock'))
    await client.call(Registration.method.getInfo)
    rmSync(registering.folder, { recursive: true })
    writeFileSync(registering.folder, 'content')
    await client.call(Registration.method.notifyRegistrationStatus, { pluginRegistered: false, error: 'no such endpoint' })
    await eventually('it has tried', () => registering.log().includes('cannot make another socket for the kubelet'))
    rmSync(registering.folder)
    await eventually('it has made the folder and a socket', () => {
      mkdirSync(registering.folder, { recursive: true })
      return registering.sockets().some((name) => /^dummy-reg-\d+\.sock$/.test(name))
    })
  })

  it('does not count as registered by a socket that is lost', async () => {
    await using sandbox = new Sandbox()
    await using registering = await Registering.begin(sandbox)
    using client = new CsiClient(join(registering.folder, 'dummy-reg.sock'))
    await client.call(Registration.method.getInfo)
    mkdirSync(join(registering.folder, 'dummy-reg-2.sock'))
    rmSync(join(registering.folder, 'dummy-reg.sock'))
    mkdirSync(join(registering.folder, 'dummy-reg.sock'))
    await eventually('it says so', () => registering.kinds().at(-1) === 'lost')
    await client.call(Registration.method.notifyRegistrationStatus, { pluginRegistered: true, error: '' })
    assert.equal(registering.kinds().at(-1), 'lost')
  })

  it('does not begin where its name is taken by what is no socket, and says what to do', async () => {
    await using sandbox = new Sandbox()
    writeFileSync(join(sandbox.directory('plugins_registry'), 'dummy-reg.sock'), 'content')
    await using registering = new Registering(sandbox, {}, 'dummy')
    await assert.rejects(
      registering.registration.begin(),
      /dummy-reg\.sock exists and is no socket; remove it, or leave out --kubelet/,
    )
    assert.deepEqual(registering.sockets(), ['dummy-reg.sock'])
  })

  it('removes the sockets of a plugin that was killed, and no other driver’s', async () => {
    await using sandbox = new Sandbox()
    const folder = sandbox.directory('plugins_registry')
    const sockets = ['dummy-reg.sock', 'dummy-reg-7.sock', 'dummy-reg-x.sock', 'dummy-two-reg.sock']
    const bind = `import socket, sys\nfor path in sys.argv[1:]: socket.socket(socket.AF_UNIX).bind(path)`
    const { status } = await sandbox.run('python3', ['-c', bind, ...sockets.map((name) => join(folder, name))])
    assert.equal(status, 0)
    await using registering = await Registering.begin(sandbox)
    assert.deepEqual(registering.sockets(), ['dummy-reg-x.sock', 'dummy-reg.sock', 'dummy-two-reg.sock'])
  })
})

describe('a second process that registers the driver', () => {
  it('does not begin, and says what to do', async () => {
    await using sandbox = new Sandbox()
    await using first = await Registering.begin(sandbox)
    const second = new Registering(sandbox, {}, 'dummy')
    await using _ = second
    await assert.rejects(second.registration.begin(), /another process registers dummy .*dummy-reg\.sock; stop it/)
    assert.deepEqual(first.sockets(), ['dummy-reg.sock'])
  })
})

describe('socketName', () => {
  it('gives each driver names of its own', () => {
    assert.deepEqual([socketName('a', 0), socketName('a', 1), socketName('a', 41)], ['a-reg.sock', 'a-reg-2.sock', 'a-reg-42.sock'])
    for (const nth of [0, 1, 41]) assert.ok(isSocketOf('a', socketName('a', nth)))
    for (const name of ['a-reg-.sock', 'a-reg-02.sock', 'a-reg-2.sock.1', 'ab-reg.sock', '.a-reg.sock'])
      assert.ok(!isSocketOf('a', name), name)
    assert.ok(!isSocketOf('a', socketName('a-reg-2', 0)))
  })
})
