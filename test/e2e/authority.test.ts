import assert from 'node:assert/strict'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FusedProcess } from '../support/fused.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { GRPCURL } from '../support/tools.ts'
import { eventually } from '../support/wait.ts'

/** A gRPC call without a message on an HTTP/2 connection: its grpc-status, or what its stream ended with. */
async function call(session: ClientHttp2Session, authority: string, more: Record<string, string> = {}): Promise<string> {
  const stream = session.request({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': '/csi.v1.Identity/Probe',
    ':authority': authority,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  })
  // A message of no bytes.
  stream.end(Buffer.alloc(5))
  return await new Promise((resolve) => {
    const take = (headers: Record<string, unknown>): void => {
      const { 'grpc-status': status } = headers
      if (typeof status === 'string') resolve(status)
    }
    stream.on('response', take).on('trailers', take).resume()
    stream.on('error', (error: Error) => {
      resolve(error.message)
    })
    stream.on('close', () => {
      resolve(`closed with ${stream.rstCode}`)
    })
  })
}

/** An HTTP/2 connection to a unix socket. */
function connected(socket: string): ClientHttp2Session {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socket) })
  session.on('error', () => undefined)
  return session
}

const AUTHORITIES = [
  '/run/dummy-fuse-csi/csi.sock',
  '/var/lib/kubelet/plugins/dummy-fuse-csi/csi.sock',
  '%2Frun%2Fcsi.sock',
  'unix:///run/csi.sock',
  'localhost',
  'a b"c#d\\e',
  '<>?^`{|}',
  'füße/csi.sock',
  '\u0001'.repeat(20),
]

describe('a client is served whatever it takes for the name of a host', () => {
  it('gRPC for Go', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const fused = await FusedProcess.start(sandbox)
    const methods = { [plugin.socket]: 'csi.v1.Identity/Probe', [fused.socket]: 'dummyfuse.fused.v1.Fused/List' }
    for (const [socket, method] of Object.entries(methods)) {
      for (const authority of AUTHORITIES) {
        const args = ['-plaintext', '-authority', authority, `unix://${socket}`, method]
        const { status, stderr } = await sandbox.run(GRPCURL, args)
        assert.equal(status, 0, `${authority}: ${stderr}`)
      }
    }
  })

  it('call after call on one connection, with other headers that both sides remember', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const session = connected(join(sandbox.path, 'csi.sock'))
    try {
      for (let round = 0; round < 3; round++) {
        for (const [at, authority] of AUTHORITIES.entries())
          assert.equal(
            await call(session, authority, { [`x-${at % 3}`]: 'v'.repeat(at * 40), 'x-round': `${round}` }),
            '0',
            authority,
          )
      }
      // Enough for the tables to drop what is old.
      const paths = fc.sample(
        fc.string({
          minLength: 1,
          maxLength: 150,
          unit: fc.constantFrom('/', 'a', 'e', 'X', 'Z', '0', '9', '.', '-', '_', ' ', '"', '%'),
        }),
        200,
      )
      for (const path of paths)
        assert.equal(await call(session, path, { 'x-path': encodeURIComponent(path) }), '0', JSON.stringify(path))
      const logged = (): number => plugin.log().match(/GRPC call: \/csi.v1.Identity\/Probe/g)?.length ?? 0
      const all = 3 * AUTHORITIES.length + paths.length
      // The log and the answers come on different ways.
      await eventually('the last call is in the log', () => logged() >= all)
      assert.equal(logged(), all)
    } finally {
      session.destroy()
    }
  })
})
