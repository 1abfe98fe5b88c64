import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { settledWithin } from '../../src/os/processes/settled-within.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Milliseconds. */
const TIME = 50

describe('settledWithin', () => {
  it('takes what has come by the end of a standstill that was longer than the time', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'socket')
    await using server = createServer().listen(path)
    await once(server, 'listening')
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = connect(path)
    const [[socket]] = await Promise.all([accepted, once(client, 'connect')])
    try {
      const text = once(socket, 'data') as Promise<[Buffer]>
      const outcome = settledWithin(text, TIME)
      client.write('text')
      // Stands still.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4 * TIME)
      assert.equal(String(await outcome), 'text')
    } finally {
      client.destroy()
      socket.destroy()
    }
  })

  it('is late where nothing comes', async () => {
    assert.equal(await settledWithin(new Promise(() => undefined), 1), 'late')
  })
})
