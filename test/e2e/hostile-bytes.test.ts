import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { Fused } from '../../src/rpc/fused_pb.ts'
import { FusedProcess } from '../support/fused.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'
import { hostileToFused, hostileToPlugin } from '../hostile/bytes.ts'

/** A part of what scripts/chaos bytes sends; always the same. */
const SCALE = { seed: 1, requests: 600, connections: 200, messages: 1000 }

describe('generated requests, garbage on connections and messages of strangers do no harm', () => {
  it('to the plugin', async () => {
    const { answers, findings } = await hostileToPlugin(SCALE)
    assert.deepEqual(findings, [])
    assert.equal(
      [...answers.values()].reduce((sum, count) => sum + count, 0),
      SCALE.requests,
    )
    assert.ok((answers.get('OK') ?? 0) > 10, 'some requests are valid')
    assert.ok((answers.get('INVALID_ARGUMENT') ?? 0) > 10, 'and some are not')
  })

  it('to dummy-fused and keep', async () => {
    const { answers, findings } = await hostileToFused(SCALE)
    assert.deepEqual(findings, [])
    assert.equal(
      [...answers.values()].reduce((sum, count) => sum + count, 0),
      SCALE.requests,
    )
    assert.ok((answers.get('OK') ?? 0) > 10, 'some requests are valid')
  })
})

describe('a client that only connects', () => {
  function silent(fused: FusedProcess): Socket {
    return connect(fused.socket)
      .on('error', () => undefined)
      .resume()
  }

  /** One that has sent its preface and its settings. */
  function spoken(fused: FusedProcess): Socket {
    const client = silent(fused)
    client.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1'))
    return client
  }

  it('is cut off after ten seconds, but for one that speaks HTTP/2', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const [quiet, speaking] = [silent(fused), spoken(fused)]
    await eventually('the quiet one is cut off', () => quiet.destroyed, 30_000)
    assert.ok(!speaking.destroyed)
    speaking.destroy()
  })

  it('is cut off at once where a thousand are connected, and not when they have gone', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox)
    const connected = (): number => readFileSync('/proc/net/unix', 'utf8').split(`${fused.socket}\n`).length - 1
    await eventually('the client that waited for its start has gone: the listening socket is left', () => connected() === 1)
    const clients = Array.from({ length: 1000 }, () => spoken(fused))
    await eventually('all are connected', () => clients.every(({ connecting }) => !connecting))
    const next = silent(fused)
    await eventually('the next is cut off', () => next.destroyed, 30_000)
    assert.ok(clients.every(({ destroyed }) => !destroyed))
    await fused.logged(`the connection of a client of ${fused.socket} is closed: 1000 clients are connected`)
    for (const client of clients) client.destroy()
    await eventually('a call succeeds', async () => await fused.call(Fused.method.list).catch(() => undefined), 30_000)
  })
})
