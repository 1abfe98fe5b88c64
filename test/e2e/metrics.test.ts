import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { EXECUTABLE } from '../support/paths.ts'
import { metricsPort, Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** The value of the sample of a name that has these labels, in whatever order. */
function sample(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  const line = text.split('\n').find((one) => one.split(/[ {]/)[0] === name && wanted.every((label) => one.includes(label)))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

describe('serve --metrics-address', () => {
  it('counts calls by method and status, and the volumes, also while a daemon hangs', async () => {
    await using sandbox = new Sandbox()
    const plugin = await Plugin.start(sandbox, { args: ['--metrics-address', '127.0.0.1:0', '--drivername', 'metrics.test'] })
    const port = await metricsPort(plugin)
    const scrape = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(5000) })
      assert.equal(answer.status, 200)
      assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
      return await answer.text()
    }
    const volume = new Volume(sandbox, plugin, 'one')
    await volume.stage()
    await volume.publish()
    await assert.rejects(new Volume(sandbox, plugin, '').stage())
    const calls = (text: string, method: string, code: string): number | undefined =>
      sample(text, 'csi_plugin_operations_seconds_count', {
        driver_name: 'metrics.test',
        method_name: `/csi.v1.Node/${method}`,
        grpc_status_code: code,
      })
    const full = await scrape()
    assert.equal(calls(full, 'NodeStageVolume', 'OK'), 1)
    assert.equal(calls(full, 'NodeStageVolume', 'InvalidArgument'), 1)
    assert.equal(sample(full, 'dummy_fuse_csi_staged_volumes'), 1)
    assert.equal(sample(full, 'dummy_fuse_csi_published_targets'), 1)
    assert.equal(sample(full, 'dummy_fuse_csi_restoring_volumes'), 0)
    assert.equal(sample(full, 'dummy_fuse_csi_ready'), 1)
    assert.ok((sample(full, 'process_resident_memory_bytes') ?? 0) > 1024 * 1024)

    const daemon = volume.daemon()
    process.kill(daemon, 'SIGSTOP')
    assert.equal(sample(await scrape(), 'dummy_fuse_csi_staged_volumes'), 1)
    process.kill(daemon, 'SIGCONT')
    await volume.unpublish()
    await volume.unstage()
    const empty = await scrape()
    assert.equal(sample(empty, 'dummy_fuse_csi_staged_volumes'), 0)
    assert.equal(sample(empty, 'dummy_fuse_csi_published_targets'), 0)
  })

  it('refuses what it does not serve, and is not kept from ending by a client that says nothing', async () => {
    await using sandbox = new Sandbox()
    const plugin = await Plugin.start(sandbox, { args: ['--metrics-address', '[::1]:0'] })
    const port = await metricsPort(plugin)
    assert.equal((await fetch(`http://[::1]:${port}/`)).status, 404)
    // Nobody is to register it.
    assert.equal((await fetch(`http://[::1]:${port}/readyz`)).status, 200)
    assert.equal((await fetch(`http://[::1]:${port}/metrics`, { method: 'POST' })).status, 405)
    assert.equal(await (await fetch(`http://[::1]:${port}/metrics`, { method: 'HEAD' })).text(), '')
    const silent = connect(port, '::1')
    await new Promise((resolve) => silent.once('connect', resolve))
    silent.on('error', () => undefined)
    assert.equal((await plugin.stop()).status, 0)
    silent.destroy()
  })

  it('ends with one line where the address is taken or is none', async () => {
    await using sandbox = new Sandbox()
    await using taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as AddressInfo
    const run = async (address: string): Promise<string> => {
      const args = ['serve', '--state-dir', sandbox.directory('state'), '--endpoint', `unix://${sandbox.path}/csi.sock`]
      const { status, stderr } = await sandbox.run(EXECUTABLE, [...args, '--metrics-address', address])
      return `${status}: ${stderr.split('\n').findLast((line) => line !== '') ?? ''}`
    }
    assert.match(await run(`127.0.0.1:${port}`), /^1: .*cannot serve metrics on 127\.0\.0\.1:\d+: .*EADDRINUSE.*--metrics-address/)
    for (const wrong of ['9809', 'here', '1.2.3.4:65536', '::1:9809', '']) assert.match(await run(wrong), /^2: .*127\.0\.0\.1:9809/)
  })
})
