import assert from 'node:assert/strict'
import { closeSync, readSync, writeSync } from 'node:fs'
import { describe, it } from 'node:test'
import { ServingLoop } from '../../src/fuse/session/loop.ts'
import { AdaptivePolling } from '../../src/fuse/session/polling.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Epoll } from '../../src/os/descriptors/epoll.ts'
import { Libc } from '../../src/os/libc.ts'

const libc = new Libc(new AddonLoader())

/** A loop's epoll, and a pipe whose end for reading stands for a device. */
class Piped implements Disposable {
  readonly epoll = new Epoll(libc)
  readonly reader: number
  readonly writer: number

  constructor() {
    ;[this.reader, this.writer] = libc.pipe()
  }

  [Symbol.dispose](): void {
    this.epoll.close()
    closeSync(this.reader)
    closeSync(this.writer)
  }
}

describe('a loop that serves devices', () => {
  it('does not go to sleep when a device ends while it is polled', () => {
    using piped = new Piped()
    const { epoll, reader, writer } = piped
    const loop = new ServingLoop(epoll, new AdaptivePolling(50), libc.yielder())
    let requests = 1
    const served = {
      fd: reader,
      serve: () => {
        if (requests === 0) loop.remove(served)
        else readSync(reader, Buffer.alloc(1))
        return requests === 0 ? 0 : requests--
      },
    }
    loop.add(served)
    writeSync(writer, 'x')
    loop.turn(20_000)
    const begun = performance.now()
    loop.turn(20_000)
    assert.ok(performance.now() - begun < 10_000)
  })

  it('calls back for a descriptor that it does not serve, in each turn until somebody has read it', () => {
    using piped = new Piped()
    const { epoll, reader, writer } = piped
    const loop = new ServingLoop(epoll, new AdaptivePolling(0), libc.yielder())
    let calls = 0
    loop.listen(reader, () => calls++)
    writeSync(writer, 'x')
    loop.turn(20_000)
    loop.turn(20_000)
    readSync(reader, Buffer.alloc(1))
    loop.turn(0)
    assert.equal(calls, 2)
  })

  it('does not poll for what cannot come at once', () => {
    using piped = new Piped()
    const { epoll, reader, writer } = piped
    const loop = new ServingLoop(epoll, new AdaptivePolling(20_000), () => assert.fail('it polls'))
    let ready = 1
    loop.add({ fd: reader, polled: false, serve: () => (ready === 0 ? 0 : ready-- && readSync(reader, Buffer.alloc(1))) })
    writeSync(writer, 'x')
    loop.turn(20_000)
    let waits = 0
    loop.turn(() => {
      waits++
      return 0
    })
    assert.equal(waits, 1)
  })

  it('yields the processor while it polls, and asks for how long to wait only when nothing has come', () => {
    using piped = new Piped()
    const { epoll, reader, writer } = piped
    const calls: string[] = []
    const byte = Buffer.alloc(1)
    const loop = new ServingLoop(epoll, new AdaptivePolling(1000), () => {
      calls.push('yield')
      // What another process does in its turn.
      writeSync(writer, 'x')
    })
    const waiting = (): number => {
      calls.push('wait')
      return 20_000
    }
    let ready = 1
    loop.add({ fd: reader, serve: () => (ready === 0 ? 0 : ready-- && readSync(reader, byte)) })
    writeSync(writer, 'x')
    loop.turn(waiting)
    assert.deepEqual(calls, ['wait'])
    loop.turn(waiting)
    assert.deepEqual(calls, ['wait', 'yield'])
  })
})
