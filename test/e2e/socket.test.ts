import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { Identity, Node } from '../../src/rpc/csi_pb.ts'
import { CsiClient, outcome } from '../support/csi-client.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { type Result, type Running, Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** A plugin on any endpoint, by these words and environment alone. */
function serve(sandbox: Sandbox, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const { CSI_ENDPOINT: _endpoint, STATE_DIRECTORY: _state, ...rest } = process.env
  return sandbox.start(EXECUTABLE, ['serve', '--state-dir', join(sandbox.path, 'state'), ...args], { env: { ...rest, ...env } })
}

/** Its end, or an Error if it goes on. */
async function ends(running: Running): Promise<Result> {
  const timer = setTimeout(() => running.child.kill('SIGKILL'), 15_000)
  try {
    return await running.ended
  } finally {
    clearTimeout(timer)
  }
}

async function answers(socket: string): Promise<void> {
  using client = new CsiClient(socket)
  await eventually(`a plugin answers on ${socket}`, async () => (await outcome(client.call(Identity.method.probe))).code === 'OK')
}

void test('the socket is 0600 in a folder made 0750, whatever the umask, and gone after SIGTERM and SIGINT, which end with 0', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    for (const umask of ['000', '022', '077']) {
      await t.test(`${signal} with umask ${umask}`, async () => {
        await using sandbox = new Sandbox()
        const socket = join(sandbox.path, 'made', 'csi.sock')
        const args = ['serve', '--endpoint', `unix://${socket}`, '--state-dir', join(sandbox.path, 'state')]
        const running = sandbox.start('sh', ['-c', `umask ${umask}; exec "$0" "$@"`, EXECUTABLE, ...args])
        await answers(socket)
        assert.equal(statSync(socket).mode & 0o777, 0o600)
        assert.equal(statSync(dirname(socket)).mode & 0o777, umask === '077' ? 0o700 : 0o750)
        running.child.kill(signal)
        const { status: code } = await ends(running)
        assert.equal(code, 0)
        assert.ok(!existsSync(socket))
      })
    }
  }
})

void test('a folder that is there keeps its mode', async () => {
  await using sandbox = new Sandbox()
  const folder = sandbox.directory('there')
  chmodSync(folder, 0o711)
  const running = serve(sandbox, ['--endpoint', join(folder, 'csi.sock')])
  await answers(join(folder, 'csi.sock'))
  assert.equal(statSync(folder).mode & 0o777, 0o711)
  running.child.kill('SIGTERM')
  assert.equal((await ends(running)).status, 0)
})

void test('an endpoint is a path, with or without its scheme, from the flag, or else from $CSI_ENDPOINT', async (t) => {
  await using sandbox = new Sandbox()
  const socket = join(sandbox.path, 'csi.sock')
  const rows: readonly (readonly [string, readonly string[], NodeJS.ProcessEnv])[] = [
    ['unix://', ['--endpoint', `unix://${socket}`], {}],
    ['unix:', ['--endpoint', `unix:${socket}`], {}],
    ['a bare path', ['--endpoint', socket], {}],
    ['two slashes too many', [`--endpoint=unix:////${socket}`], {}],
    ['$CSI_ENDPOINT', [], { CSI_ENDPOINT: `unix://${socket}` }],
    ['the flag before $CSI_ENDPOINT', ['--endpoint', socket], { CSI_ENDPOINT: 'unix:///nowhere/csi.sock' }],
  ]
  for (const [title, args, env] of rows) {
    await t.test(title, async () => {
      const running = serve(sandbox, args, env)
      await answers(socket)
      assert.ok(running.output().includes(`&net.UnixAddr{Name:"${socket}", Net:"unix"}`), running.output())
      running.child.kill('SIGTERM')
      assert.equal((await ends(running)).status, 0)
      assert.ok(!existsSync(socket))
    })
  }
})

void test('a socket with odd letters in its path is served on', async () => {
  await using sandbox = new Sandbox()
  const socket = join(sandbox.directory('a b#c?d%41=é'), 'csi.sock')
  const running = serve(sandbox, ['--endpoint', socket])
  await eventually('it listens', () => existsSync(socket))
  running.child.kill('SIGTERM')
  assert.equal((await ends(running)).status, 0)
})

void test('wrong endpoints and flags end with 2 and a line that says what is wrong', async (t) => {
  await using sandbox = new Sandbox()
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [['--endpoint', 'tcp://127.0.0.1:10000'], /'tcp:\/\/127\.0\.0\.1:10000' is not a unix socket/],
    [['--endpoint', 'dns:///host'], /is not a unix socket/],
    [['--endpoint', 'unix:relative.sock'], /is not an absolute path/],
    [['--endpoint', ''], /is not an absolute path/],
    [['--endpoint', `/${'x'.repeat(107)}`], /longer than the 107 bytes/],
    [['--role', 'identity,nodes'], /no role 'nodes'; there are identity, node, controller/],
    [['--role', 'node'], /every plugin serves identity/],
    [['--drivername', 'a..b'], /'a\.\.b' is no plugin name/],
    [['--nodeid', ''], /--nodeid is empty/],
    [['--nodeid', 'x'.repeat(257)], /longer than the 256 bytes/],
    [['--fuse-host', 'elsewhere'], /child, detached/],
    [['--inject', 'nonsense'], /unknown fault 'nonsense'/],
    [['--log-format', 'xml'], /text, json/],
    [['--no-such-flag'], /unknown option '--no-such-flag'/],
    [['word'], /too many arguments/],
  ]
  for (const [args, message] of rows) {
    await t.test(args.join(' ').slice(0, 60), async () => {
      const { status: code, stderr } = await ends(serve(sandbox, args))
      assert.equal(code, 2, stderr)
      assert.equal(stderr.trimEnd().split('\n').length, 1)
      assert.match(stderr, message)
    })
  }
})

void test('the plugin has the name that it is given', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--drivername', 'csi.s3.v2'] })
  assert.equal((await plugin.call(Identity.method.getPluginInfo)).name, 'csi.s3.v2')
})

void test('a stale socket is replaced', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  await plugin.kill()
  assert.ok(existsSync(plugin.socket))
  await plugin.restart()
  await plugin.call(Identity.method.probe)
})

void test('what is in the way of the socket is an error that names it, and stays', async (t) => {
  await using sandbox = new Sandbox()
  const live = createServer().listen(join(sandbox.path, 'live.sock'))
  const file = join(sandbox.path, 'file')
  writeFileSync(file, 'content')
  mkdirSync(join(sandbox.path, 'directory'))
  symlinkSync(file, join(sandbox.path, 'link'))
  const rows: readonly (readonly [string, RegExp])[] = [
    ['live.sock', /another process listens on .*live\.sock/],
    ['file', /file exists and is no socket/],
    ['directory', /directory exists and is no socket/],
    ['link', /link exists and is no socket/],
    ['file/csi.sock', /cannot make the socket .*file\/csi\.sock/],
  ]
  try {
    for (const [name, message] of rows) {
      await t.test(name, async () => {
        const { status: code, stderr } = await ends(serve(sandbox, ['--endpoint', join(sandbox.path, name)]))
        assert.equal(code, 1, stderr)
        assert.match(stderr.trimEnd().split('\n').at(-1) ?? '', message)
        assert.doesNotMatch(stderr, /\n\s+at /, 'a stack trace')
      })
    }
    assert.equal(readFileSync(file, 'utf8'), 'content')
    assert.ok(existsSync(join(sandbox.path, 'live.sock')))
  } finally {
    live.close()
  }
})

void test('of plugins that start at once on one socket one serves, and the others end with 1 and a line', async () => {
  await using sandbox = new Sandbox()
  const socket = join(sandbox.path, 'csi.sock')
  const all = Array.from({ length: 6 }, (_, index) =>
    serve(sandbox, ['--endpoint', socket, '--state-dir', join(sandbox.path, `state-${index}`)]),
  )
  await eventually('all but one have ended', () => all.filter(({ child }) => child.exitCode !== null).length === 5)
  await answers(socket)
  for (const { child, ended } of all) {
    if (child.exitCode === null) continue
    const { status: code, stderr } = await ended
    assert.equal(code, 1)
    assert.match(stderr.trimEnd().split('\n').at(-1) ?? '', /^dummy-fuse-csi: (another process listens on|cannot listen on) /)
  }
})

void test('SIGTERM lets a call under way end, takes no new one, and removes the socket', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox, { args: ['--inject', 'mount-delay=1.5', '--fuse-host', 'detached'] })
  const volume = new Volume(sandbox, plugin, 'volume')
  const call = outcome(volume.stage())
  await eventually('the call is under way', () => plugin.log().includes('exec dummy-fuse'))
  process.kill(plugin.pid, 'SIGTERM')
  await eventually('the plugin ends', () => plugin.log().includes('Ending at SIGTERM'))
  using late = new CsiClient(plugin.socket)
  assert.equal((await outcome(late.call(Identity.method.probe))).code, 'UNAVAILABLE')
  assert.deepEqual(await call, { code: 'OK', details: '' })
  await eventually('the socket is gone', () => !existsSync(plugin.socket))
  await eventually('the plugin is gone', () => !existsSync(`/proc/${plugin.pid}/fd`))
  assert.equal(plugin.entries().length, 1)
})

void test('connections and streams that clients keep open do not keep the plugin from ending', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  await plugin.call(Identity.method.probe)
  const silent = connect(plugin.socket)
  const same = (bytes: Buffer): Buffer => bytes
  const reflection = plugin.client.raw.makeBidiStreamRequest(
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    same,
    same,
  )
  const watch = plugin.client.raw.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, Buffer.alloc(0))
  const codes: status[] = []
  for (const stream of [reflection, watch]) {
    stream.on('error', (error: { code?: status }) => codes.push(error.code ?? status.OK))
    stream.on('data', () => undefined)
  }
  await new Promise((resolve) => watch.once('data', resolve))
  const { status: code } = await plugin.stop()
  assert.equal(code, 0)
  silent.destroy()
  for (const one of codes) assert.ok([status.UNAVAILABLE, status.CANCELLED].includes(one), String(one))
})

void test('bytes that are no request end that call alone', async () => {
  await using sandbox = new Sandbox()
  using plugin = await Plugin.start(sandbox)
  const same = (bytes: Buffer): Buffer => bytes
  const garbage = [Buffer.from([0xff, 0xff, 0xff]), Buffer.from([0x0a, 0x02, 0xc3, 0x28]), Buffer.alloc(1_000_000, 0x0a)]
  for (const bytes of garbage) {
    const code = await new Promise((resolve) => {
      plugin.client.raw.makeUnaryRequest('/csi.v1.Node/NodeStageVolume', same, same, bytes, (error) => {
        resolve(error?.code)
      })
    })
    assert.notEqual(code, undefined)
  }
  const raw = connect(plugin.socket)
  raw.on('error', () => undefined).resume()
  raw.end('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await new Promise((resolve) => raw.once('close', resolve))
  const code = await new Promise((resolve) => {
    plugin.client.raw.makeUnaryRequest('/csi.v1.Node/NoSuchMethod', same, same, Buffer.alloc(0), (error) => {
      resolve(error?.code)
    })
  })
  assert.equal(code, status.UNIMPLEMENTED)
  await plugin.call(Node.method.nodeGetInfo)
  assert.equal((await outcome(plugin.stage('v', '/', mountCapability()))).code, 'INVALID_ARGUMENT')
})
