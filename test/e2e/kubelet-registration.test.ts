import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import type { MessageShape } from '@bufbuild/protobuf'
import { Identity } from '../../src/rpc/csi_pb.ts'
import { Registration } from '../../src/rpc/pluginregistration_pb.ts'
import { CallError, CsiClient } from '../support/csi-client.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { metricsPort, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/**
 * Does what the kubelet does with its folder: asks by the sockets in it until one answers, dials the endpoint that it is told, and says how it went.
 * A plugin that no kubelet has asked for ten seconds makes a socket of another name: on a busy machine a few runs of `status` take longer.
 * Resolves to the socket.
 */
async function register(folder: string, refusal?: string): Promise<string> {
  const found = await eventually('a socket in the folder answers', async () => {
    for (const file of readdirSync(folder)) {
      const socket = join(folder, file)
      const info = await infoOf(socket)
      if (info !== undefined) return { socket, info }
    }
    return undefined
  })
  const { socket, info } = found
  using client = new CsiClient(socket)
  const { type, name, endpoint } = info
  assert.equal(type, 'CSIPlugin')
  using plugin = new CsiClient(endpoint)
  assert.equal((await plugin.call(Identity.method.getPluginInfo)).name, name)
  await client.call(Registration.method.notifyRegistrationStatus, {
    pluginRegistered: refusal === undefined,
    error: refusal ?? '',
  })
  return socket
}

/** What a socket answers the kubelet; undefined if it does not in time: the kubelet asks again then. */
async function infoOf(socket: string): Promise<MessageShape<typeof Registration.method.getInfo.output> | undefined> {
  using client = new CsiClient(socket)
  try {
    // The kubelet's own deadline (pkg/kubelet/pluginmanager/operationexecutor).
    return await client.call(Registration.method.getInfo, {}, 1000)
  } catch (error) {
    if (error instanceof CallError && ['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.code)) return undefined
    throw error
  }
}

async function ready(plugin: Plugin): Promise<boolean | undefined> {
  return (await plugin.call(Identity.method.probe)).ready
}

async function recorded(sandbox: Sandbox, plugin: Plugin): Promise<readonly [string | undefined, string | undefined, string]> {
  const told = async (...args: string[]): Promise<string> =>
    (await sandbox.run(EXECUTABLE, ['status', '--state-dir', plugin.stateDir, ...args])).stdout
  const { registration } = JSON.parse(await told('--json')) as { registration: { state: string; message?: string } | null }
  const [line = ''] = (await told()).split('\n')
  return [registration?.state, registration?.message, line]
}

test('serve --kubelet-registration-dir registers, and says in log, Probe and status how that went', async () => {
  await using sandbox = new Sandbox()
  const folder = join(sandbox.path, 'plugins_registry')
  const socket = join(folder, 'dummy-fuse-csi-reg.sock')
  using plugin = await Plugin.start(sandbox, { args: ['--kubelet-registration-dir', folder] })
  await eventually('the socket is there', () => existsSync(socket))
  await eventually('it is recorded', async () => (await recorded(sandbox, plugin))[0] === 'waiting')
  assert.equal((await recorded(sandbox, plugin))[1], undefined)

  await register(folder, 'dial unix: no such file')
  await plugin.logged('the kubelet refused to register dummy-fuse-csi')
  assert.equal(await ready(plugin), false)
  const [state, message, line] = await recorded(sandbox, plugin)
  assert.deepEqual([state, message], ['refused', 'dial unix: no such file'])
  assert.match(line, /^kubelet registration: refused since \d{4}-.*Z: dial unix: no such file$/)

  const registered = await register(folder)
  await plugin.logged('The kubelet has registered dummy-fuse-csi with the endpoint')
  assert.equal(await ready(plugin), true)
  assert.equal((await recorded(sandbox, plugin))[0], 'registered')

  rmSync(registered)
  await eventually('the socket is made anew', () => existsSync(registered))
  await register(folder)

  await plugin.stop()
  assert.deepEqual(readdirSync(folder), [])
  assert.deepEqual((await recorded(sandbox, plugin)).slice(0, 2), [undefined, undefined])
})

test('/readyz beside the metrics answers 200 while the plugin is registered, and else 503 with the reason', async () => {
  await using sandbox = new Sandbox()
  const folder = sandbox.directory('plugins_registry')
  using plugin = await Plugin.start(sandbox, {
    args: ['--kubelet-registration-dir', folder, '--metrics-address', '127.0.0.1:0'],
  })
  const port = await metricsPort(plugin)
  const answered = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(5000) })
    return `${answer.status} ${await answer.text()}`
  }
  assert.equal(await answered(), '503 the kubelet has not registered dummy-fuse-csi yet\n')
  await register(folder, 'no room')
  assert.equal(await answered(), '503 the kubelet refuses to register the plugin: no room\n')
  const socket = await register(folder)
  assert.equal(await answered(), '200 ready\n')
  rmSync(socket)
  await eventually('it is not ready without its socket', async () => (await answered()).startsWith('503 '))
  await register(folder)
  assert.equal(await answered(), '200 ready\n')
})

test('a plugin whose socket is lost says so in log, Probe and status, and registers by another name', async () => {
  await using sandbox = new Sandbox()
  const folder = sandbox.directory('plugins_registry')
  using plugin = await Plugin.start(sandbox, { args: ['--kubelet-registration-dir', folder] })
  const lost = await register(folder)
  await plugin.logged('The kubelet has registered dummy-fuse-csi with the endpoint')
  rmSync(lost)
  mkdirSync(lost)
  const why = `the kubelet does not reach dummy-fuse-csi by its socket: another file is in the place of the socket ${lost}`
  await plugin.logged(why)
  assert.equal(await ready(plugin), false)
  const [state, message, line] = await recorded(sandbox, plugin)
  assert.equal(state, 'lost')
  assert.ok(message?.startsWith(why))
  assert.ok(line.startsWith('kubelet registration: lost since ') && line.endsWith(`: ${message}`))

  assert.notEqual(await register(folder), lost)
  assert.equal(await ready(plugin), true)
  assert.equal((await recorded(sandbox, plugin))[0], 'registered')

  await plugin.stop()
  assert.deepEqual(readdirSync(folder), [basename(lost)])
})

test('a plugin that was killed leaves a socket, and the next one takes its place', async () => {
  await using sandbox = new Sandbox()
  const folder = sandbox.directory('plugins_registry')
  using plugin = await Plugin.start(sandbox, { args: ['--kubelet-registration-dir', folder] })
  const socket = await register(folder)
  await plugin.kill()
  assert.deepEqual(readdirSync(folder), [basename(socket)])
  await plugin.restart()
  await plugin.logged('on which nobody listens')
  await plugin.logged('Waiting for the kubelet to register')
  await register(folder)
})

test('a folder that cannot be used ends serve with 1, and says which', async () => {
  await using sandbox = new Sandbox()
  const { status, stderr } = await Plugin.fails(sandbox, { args: ['--kubelet-registration-dir', '/proc/none'] })
  assert.equal(status, 1)
  assert.match(stderr, /cannot register with the kubelet in \/proc\/none: .*name another with --kubelet-registration-dir/)
})
