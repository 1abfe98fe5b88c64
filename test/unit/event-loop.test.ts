import assert from 'node:assert/strict'
import { closeSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Epoll } from '../../src/os/descriptors/epoll.ts'
import { EventLoop } from '../../src/os/processes/event-loop.ts'
import { Libc } from '../../src/os/libc.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())

/** Waits until the loop has nothing more to run: V8 hands it work of its own now and then, after a collection of garbage above all. */
async function idle(epoll: Epoll): Promise<void> {
  await eventually('the loop has nothing to run', () => epoll.wait(0) === 0)
}

describe("the event loop's backend", () => {
  it('says how long until the next timer, and 0 while something is to be done at once', async () => {
    const loop = new EventLoop(libc)
    const timer = setTimeout(() => undefined, 60_000)
    try {
      await setImmediate()
      loop.beginTurn()
      const timeout = loop.timeout()
      assert.ok(timeout > 0 && timeout <= 60_000, `${timeout}`)
      const due = setImmediate()
      assert.equal(loop.timeout(), 0)
      await due
    } finally {
      clearTimeout(timer)
    }
  })

  it('is readable, also by way of an epoll descriptor around it, once a stream has something for Node', async () => {
    const loop = new EventLoop(libc)
    const epoll = new Epoll(libc)
    const [reader, writer] = libc.pipe()
    const stream = new Socket({ fd: reader, readable: true, writable: false })
    try {
      const came = new Promise<string>((resolve) => stream.once('data', (data: Buffer) => resolve(data.toString())))
      await setImmediate()
      epoll.add(loop.fd)
      await idle(epoll)
      writeSync(writer, 'x')
      assert.equal(epoll.wait(10_000), 1)
      assert.equal(epoll.descriptor(0), loop.fd)
      assert.equal(await came, 'x')
      await idle(epoll)
    } finally {
      stream.destroy()
      closeSync(writer)
      epoll.close()
    }
  })
})
