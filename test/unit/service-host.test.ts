import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { type CallContext, RunningCall } from '../../src/call-context.ts'
import { FusedError, type FusedErrorKind } from '../../src/fused/errors.ts'
import { toStatus } from '../../src/fused/status.ts'
import { requestLog } from '../../src/grpc/request-log.ts'
import { GrpcServer, type ServerLimits } from '../../src/grpc/server.ts'
import type { UnaryHandlers } from '../../src/grpc/service.ts'
import type { HostErrorKind } from '../../src/hosts/host.ts'
import { ServiceHost, type ServiceLimits } from '../../src/hosts/service-host.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { ListeningSocket } from '../../src/os/sockets/listening-socket.ts'
import { Fused, Session_State, type SessionSchema } from '../../src/rpc/fused_pb.ts'
import { Sandbox } from '../support/sandbox.ts'
import { stop } from '../support/stopped.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())
/** In milliseconds. */
const LONG = 60_000
/** Of a dummy-fused that is silent; or its own words, where those come first. */
const NOT_IN_TIME = /^dummy-fused(?: has not answered in time|: the call's deadline of 0\.\d s is over)$/
const LIMITS: ServerLimits = {
  connections: 10,
  streams: 100,
  handshake: LONG,
  calls: { standard: LONG, longest: LONG, margin: 100 },
  drain: 100,
  hangUp: 100,
}

function session(
  path: string,
  connection: number,
  state: Session_State = Session_State.SERVED,
): MessageInitShape<typeof SessionSchema> {
  return { id: path, path, connection, state }
}

/** A service host, and a dummy-fused in this process that answers as the test says, once it is {@link listen}ed for. */
class HostInTest implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly socket: string
  readonly lines: string[] = []
  readonly host: ServiceHost
  /** What was asked, by the method's name, a list's paths in their order. */
  readonly asked: string[] = []
  /** What it serves. */
  sessions: MessageInitShape<typeof SessionSchema>[] = []
  pid = process.pid
  /** How it tells which process it is; an earlier version does not. */
  origin: { start?: string; pidNamespace?: string } = {}
  /** Called at each call before it is answered. */
  answering: (call: CallContext) => Promise<void> | void = () => undefined
  #server: GrpcServer | undefined

  /** `socket`: below the sandbox. */
  constructor(limits: Partial<ServiceLimits> = {}, socket = 'fused.sock') {
    this.socket = join(this.sandbox.path, socket)
    const log = new Logger((line) => this.lines.push(line.slice(20)))
    this.host = new ServiceHost(
      this.socket,
      ['read-delay=1'],
      { question: LONG, actingQuestion: LONG, retryPause: 10, answerAge: 0, healthAnswer: LONG, idleLooks: 5, ...limits },
      log,
    )
  }

  async listen(): Promise<void> {
    const quiet = new Logger(() => undefined)
    const answer = async (text: string, call: CallContext): Promise<void> => {
      this.asked.push(text)
      await this.answering(call)
    }
    const handlers: UnaryHandlers<typeof Fused> = {
      mount: async ({ path, options, faults }, call) => {
        await answer(`mount ${path} ${options.join()} ${faults.join()}`, call)
        const mounted = this.sessions.find((one) => one.path === path)
        return { daemon: { pid: this.pid, ...this.origin }, ...(mounted === undefined ? {} : { session: mounted }) }
      },
      unmount: async ({ path, graceMs }, call) => {
        await answer(`unmount ${path} ${graceMs}`, call)
        return { wasMounted: true }
      },
      list: async ({ paths }, call) => {
        await answer(['list', ...paths].join(' '), call)
        const sessions = this.sessions.filter(({ path = '' }) => paths.length === 0 || paths.includes(path))
        return { daemon: { pid: this.pid, ...this.origin }, sessions }
      },
    }
    this.#server = new GrpcServer([{ service: Fused, handlers }], requestLog(quiet, toStatus), LIMITS, quiet)
    this.#server.serve(await ListeningSocket.open(libc, this.socket, quiet))
  }

  /** Nobody listens any more. */
  async close(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  /** Has the next call fail, and those after it succeed. */
  failOnce(kind: FusedErrorKind): void {
    this.answering = () => {
      this.answering = () => undefined
      throw new FusedError(kind, 'as the test wants it')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
    await this.sandbox[Symbol.asyncDispose]()
  }
}

function callOf(time = LONG): RunningCall {
  return new RunningCall(time, { margin: 0 })
}

describe('ServiceHost.start', () => {
  it('has dummy-fused mount with the options and faults, and tells what serves', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41)]
    const daemon = await used.host.start('/a', ['ro', 'noexec'], callOf())
    assert.deepEqual(daemon, { pid: process.pid, stopped: false, device: '0:41', serves: 'many' })
    assert.deepEqual(used.asked, ['mount /a ro,noexec read-delay=1'])
    assert.deepEqual(used.lines, ['ask dummy-fused to mount /a'])
  })

  for (const [answer, kind] of [
    ['invalid', 'failed'],
    ['missing', 'failed'],
    ['conflict', 'conflict'],
    ['precondition', 'precondition'],
    ['timeout', 'timeout'],
    ['unavailable', 'unavailable'],
    ['exhausted', 'exhausted'],
    ['internal', 'failed'],
  ] as const satisfies readonly (readonly [FusedErrorKind, HostErrorKind])[]) {
    it(`is ${kind} when dummy-fused says ${answer}, and is not asked again`, async () => {
      await using used = new HostInTest()
      await used.listen()
      used.failOnce(answer)
      const message = 'dummy-fused: as the test wants it'
      await assert.rejects(used.host.start('/a', [], callOf()), { name: 'HostError', kind, message })
      assert.equal(used.asked.length, 1)
    })
  }

  it('asks again where a dummy-fused is being replaced', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41)]
    used.failOnce('replaced')
    assert.equal((await used.host.start('/a', [], callOf()))?.device, '0:41')
    assert.equal(used.asked.length, 2)
  })

  it('is unavailable at once where nobody listens', async () => {
    await using used = new HostInTest()
    await assert.rejects(used.host.start('/a', [], callOf()), {
      kind: 'unavailable',
      message: `dummy-fused does not run: no process listens on ${used.socket}; start it (systemctl start dummy-fused.socket), in Kubernetes see the pods of its DaemonSet, or name its socket with --fused-socket`,
    })
  })

  it('is unavailable where it cannot be seen whether somebody listens', async () => {
    await using used = new HostInTest({}, 'file/fused.sock')
    writeFileSync(join(used.sandbox.path, 'file'), '')
    const message = /^cannot connect to dummy-fused: connect ENOTDIR .*; call again$/
    await assert.rejects(used.host.start('/a', [], callOf()), { kind: 'unavailable', message })
    await assert.rejects(used.host.daemonAt('/a', '0:41', callOf()), { kind: 'unavailable', message })
  })

  it('is unavailable where somebody listens and nobody serves, when no time is left to ask again', async () => {
    await using used = new HostInTest({ retryPause: 2 * LONG })
    let connections = 0
    await using server = createServer((connection) => {
      connections++
      connection.destroy()
    }).listen(used.socket)
    await assert.rejects(used.host.start('/a', [], callOf()), { kind: 'unavailable', message: /^dummy-fused does not serve: / })
    assert.ok(server.listening && connections > 0)
  })

  it('is timed out when dummy-fused does not answer in the call’s time', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.answering = () => new Promise(() => undefined)
    await assert.rejects(used.host.start('/a', [], callOf(300)), { kind: 'timeout' })
  })

  it('ends with the client’s own reason when that is gone', async () => {
    await using used = new HostInTest()
    await used.listen()
    const call = callOf()
    used.answering = () => {
      call.cancel()
      return new Promise(() => undefined)
    }
    await assert.rejects(used.host.start('/a', [], call), { name: 'CallEnded', kind: 'cancelled' })
    await assert.rejects(used.host.start('/a', [], call), { name: 'CallEnded', kind: 'cancelled' })
    assert.equal(used.asked.length, 1)
  })
})

describe('ServiceHost.daemonAt', () => {
  it('asks once for all calls that come together, and anew for each that acts', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41), session('/b', 42, Session_State.HELD)]
    const call = callOf()
    const found = await Promise.all(['/a', '/b', '/c'].map((path) => used.host.daemonAt(path, undefined, call)))
    assert.deepEqual(
      found.map((daemon) => daemon?.device),
      ['0:41', undefined, undefined],
    )
    used.sessions = [session('/a', 43)]
    assert.equal((await used.host.daemonAt('/a', undefined, call))?.device, '0:43')
    assert.deepEqual(used.asked, ['list /a /b /c', 'list /a'])
  })

  it('takes a young answer where one is good enough, or waits for one that is under way', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41)]
    const call = callOf()
    let answer: () => void = () => undefined
    used.answering = () => new Promise((resolve) => (answer = resolve))
    const first = used.host.daemonAt('/a', undefined, call)
    await eventually('it is asked', () => used.asked.length === 1)
    const second = used.host.daemonAt('/a', undefined, call, LONG)
    await setImmediate()
    answer()
    assert.deepEqual(await second, await first)
    used.answering = () => undefined
    assert.equal((await used.host.daemonAt('/a', undefined, call, LONG))?.device, '0:41')
    assert.deepEqual(used.asked, ['list /a'])
    // The first question about health is one about all, and those after it are about what is asked for.
    for (let round = 0; round < 2; round++) await used.host.daemonAt('/a', undefined, call, 0)
    assert.deepEqual(used.asked, ['list /a', 'list', 'list /a'])
  })

  it('takes the answer to a mount for a call that acts soon after it, and asks about another path', async () => {
    await using used = new HostInTest({ answerAge: LONG })
    await used.listen()
    used.sessions = [session('/a', 41), session('/b', 42)]
    const mounted = await used.host.start('/a', [], callOf())
    assert.deepEqual(await used.host.daemonAt('/a', undefined, callOf()), mounted)
    assert.equal((await used.host.daemonAt('/b', undefined, callOf()))?.device, '0:42')
    assert.deepEqual(used.asked.slice(1), ['list /b'])
  })

  it('knows that a daemon is stopped, which answers nothing', async () => {
    await using used = new HostInTest()
    await used.listen()
    const daemon = used.sandbox.start('sleep', ['600'])
    used.pid = daemon.pid
    used.sessions = [session('/a', 41)]
    await used.host.daemonAt('/a', undefined, callOf())
    await stop(daemon.pid)
    used.answering = () => new Promise(() => undefined)
    const found = await used.host.daemonAt('/a', undefined, callOf())
    assert.deepEqual(found, { pid: daemon.pid, stopped: true, device: '0:41', serves: 'many' })
    assert.equal(used.asked.length, 1)
  })

  it('does not wait for a silent dummy-fused that is not seen, for health; a call that acts does', async () => {
    await using used = new HostInTest({ healthAnswer: 100 })
    await used.listen()
    used.sessions = [session('/a', 41)]
    let answer: () => void = () => undefined
    used.answering = () => new Promise((resolve) => (answer = resolve))
    const acting = used.host.daemonAt('/a', undefined, callOf())
    await eventually('it is asked', () => used.asked.length === 1)
    for (const device of [undefined, '0:41'])
      await assert.rejects(used.host.daemonAt('/a', device, callOf(), 0), {
        kind: 'timeout',
        message: 'dummy-fused has not answered within 0.1 s',
      })
    assert.equal(used.asked.length, 1, 'the question under way is theirs too')
    answer()
    assert.equal((await acting)?.device, '0:41')
  })

  it('asks a dummy-fused of another PID namespace anew each time, and names no process', async () => {
    await using used = new HostInTest({ answerAge: LONG })
    await used.listen()
    used.origin = { start: '1', pidNamespace: '1' }
    used.sessions = [session('/a', 41), session('/b', 42)]
    const unseen = { stopped: false, device: '0:41', serves: 'many' }
    assert.deepEqual(await used.host.start('/a', [], callOf()), unseen)
    assert.deepEqual(await used.host.daemonAt('/a', undefined, callOf()), unseen)
    assert.deepEqual(await used.host.daemonAt('/a', undefined, callOf(), LONG), unseen)
    const both = await Promise.all(['/a', '/b'].map((path) => used.host.daemonAt(path, undefined, callOf(), LONG)))
    assert.deepEqual(
      both.map((daemon) => daemon?.device),
      ['0:41', '0:42'],
    )
    assert.deepEqual(used.asked.slice(1), ['list /a', 'list', 'list /a /b'])
  })

  it('rejects when dummy-fused does not answer within the time for questions, whatever the call has', async () => {
    await using used = new HostInTest({ question: 50, actingQuestion: 100 })
    await used.listen()
    used.answering = () => new Promise(() => undefined)
    const timeout = { name: 'HostError', kind: 'timeout', message: NOT_IN_TIME }
    await assert.rejects(used.host.daemonAt('/a', undefined, callOf()), timeout)
    await assert.rejects(used.host.daemonAt('/a', undefined, callOf(), 0), timeout)
    used.answering = () => undefined
    used.sessions = [session('/a', 41)]
    assert.equal((await used.host.daemonAt('/a', undefined, callOf()))?.device, '0:41')
  })

  it('waits for the whole time of a call that acts, also where it shares the question with one about health', async () => {
    await using used = new HostInTest({ question: 50 })
    await used.listen()
    used.sessions = [session('/a', 41)]
    let answer: () => void = () => undefined
    used.answering = () => new Promise((resolve) => (answer = resolve))
    const health = used.host.daemonAt('/a', undefined, callOf(), 0)
    const acting = used.host.daemonAt('/a', undefined, callOf())
    await assert.rejects(health, { kind: 'timeout' })
    answer()
    assert.equal((await acting)?.device, '0:41')
    assert.deepEqual(used.asked, ['list'])
  })

  it('rejects as one that is not answered when the time of a call that acts is over', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.answering = () => new Promise(() => undefined)
    await assert.rejects(used.host.daemonAt('/a', undefined, callOf(100)), { name: 'HostError', kind: 'timeout' })
  })

  it('leaves a question to others when its own call ends', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41)]
    const ending = callOf()
    used.answering = () => {
      ending.cancel()
    }
    const left = used.host.daemonAt('/a', undefined, ending)
    const stays = used.host.daemonAt('/a', undefined, callOf())
    await assert.rejects(left, { kind: 'cancelled' })
    assert.equal((await stays)?.device, '0:41')
  })

  it('forgets everything when no dummy-fused runs any more', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41)]
    await used.host.daemonAt('/a', undefined, callOf())
    await used.close()
    assert.equal(await used.host.daemonAt('/a', undefined, callOf()), undefined)
    assert.equal(await used.host.daemonAt('/a', undefined, callOf(), LONG), undefined)
    assert.deepEqual(await used.host.all(), new Map())
  })
})

describe('ServiceHost', () => {
  it('learns of all sessions by one question', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41), session('/b', 42)]
    const all = await used.host.all()
    assert.deepEqual(
      [...all].map(([path, { device }]) => [path, device]),
      [
        ['/a', '0:41'],
        ['/b', '0:42'],
      ],
    )
    assert.deepEqual(used.asked, ['list'])
  })

  it('says why a session hangs that is not to be replaced, and nothing of one that dummy-fused does not serve', async () => {
    await using used = new HostInTest()
    assert.match((await used.host.silence('/a', '0:41')) ?? '', /^dummy-fused does not run: .*; its standby has the session/)
    await used.listen()
    used.sessions = [session('/a', 41)]
    assert.equal(await used.host.silence('/a', '0:41'), 'dummy-fused serves it again; call again')
    assert.equal(await used.host.silence('/a', '0:42'), undefined)
  })

  it('says of a dummy-fused that is silent that it has not answered in time', async () => {
    await using used = new HostInTest({ healthAnswer: 50 })
    await used.listen()
    const { promise, resolve } = Promise.withResolvers<undefined>()
    used.answering = async () => await promise
    const silence = await used.host.silence('/a', '0:41')
    resolve(undefined)
    assert.match(silence ?? '', NOT_IN_TIME)
  })

  it('has a session ended with its grace, and knows it no more', async () => {
    await using used = new HostInTest()
    await used.listen()
    used.sessions = [session('/a', 41)]
    await used.host.daemonAt('/a', undefined, callOf())
    used.sessions = []
    await used.host.stop('/a', undefined, 1500, callOf())
    assert.equal(await used.host.daemonAt('/a', undefined, callOf(), LONG), undefined)
    assert.equal(used.asked[1], 'unmount /a 1500')
  })

  it('has nothing to end where no dummy-fused runs, and says what fails where one does', async () => {
    await using used = new HostInTest()
    await used.host.stop('/a', undefined, 0, callOf())
    await used.listen()
    used.failOnce('unavailable')
    await assert.rejects(used.host.stop('/a', undefined, 0, callOf()), { kind: 'unavailable' })
  })

  it('takes it for no fault of the storage that no dummy-fused runs: a standby may serve', async () => {
    await using used = new HostInTest()
    assert.equal(used.host.unavailableReason(), undefined)
    await used.listen()
    assert.equal(used.host.unavailableReason(), undefined)
    await used.close()
    writeFileSync(used.socket, 'a file')
    assert.equal(used.host.unavailableReason(), undefined)
    await assert.rejects(used.host.start('/a', [], callOf()), { kind: 'unavailable', message: /^dummy-fused does not run: / })
  })
})
