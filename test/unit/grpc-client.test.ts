import assert from 'node:assert/strict'
import { createServer } from 'node:http2'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Identity } from '../../src/rpc/csi_pb.ts'
import { CsiClient, outcome } from '../support/csi-client.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('a call whose program is killed', () => {
  it('is UNAVAILABLE also where its stream ends before the connection', async () => {
    await using sandbox = new Sandbox()
    const socket = join(sandbox.path, 'csi.sock')
    await using server = createServer()
    server.on('stream', (stream) => stream.close())
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    using client = new CsiClient(socket)
    assert.deepEqual(await outcome(client.call(Identity.method.probe)), {
      code: 'UNAVAILABLE',
      details: 'the connection broke before the answer',
    })
  })
})
