import assert from 'node:assert/strict'
import { closeSync, fstatSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { DatagramSocket, sendDatagram } from '../../src/os/sockets/unix-datagram.ts'
import { Sandbox } from '../support/sandbox.ts'

const libc = new Libc(new AddonLoader())
const SIZE = 100

const ADDRESSES = {
  'at a path': (sandbox: Sandbox) => join(sandbox.path, 'socket'),
  'at an abstract address': (sandbox: Sandbox) => `@${sandbox.path}`,
}

/** Binds a socket for as long as `use` takes. */
function bound(path: string, use: (socket: DatagramSocket) => void): void {
  const socket = DatagramSocket.bind(libc, path, SIZE)
  try {
    use(socket)
  } finally {
    closeSync(socket.fd)
  }
}

describe('sendDatagram', () => {
  for (const [where, pathIn] of Object.entries(ADDRESSES)) {
    it(`is received ${where}, with its sender`, async () => {
      await using sandbox = new Sandbox()
      const path = pathIn(sandbox)
      bound(path, (socket) => {
        sendDatagram(libc, path, Buffer.from('READY=1'))
        const received = socket.receive()
        assert.equal(received?.payload.toString(), 'READY=1')
        assert.deepEqual(received.descriptors, [])
        assert.deepEqual(received.sender, { pid: process.pid, uid: process.getuid?.() })
        assert.deepEqual([received.truncated, received.controlTruncated], [false, false])
        assert.equal(socket.receive(), undefined)
      })
    })

    for (const count of [1, 2, 3]) {
      it(`hands copies of ${count} descriptors over, received ${where}`, async () => {
        await using sandbox = new Sandbox()
        const path = pathIn(sandbox)
        const pipes = Array.from({ length: count }, () => libc.pipe())
        bound(path, (socket) => {
          sendDatagram(
            libc,
            path,
            Buffer.from('FDSTORE=1'),
            pipes.map(([, write]) => write),
          )
          const { payload, descriptors = [] } = socket.receive() ?? {}
          assert.equal(payload?.toString(), 'FDSTORE=1')
          assert.equal(descriptors.length, count)
          pipes.forEach(([read], index) => {
            const copy = descriptors[index] ?? -1
            assert.ok(fstatSync(copy).isFIFO())
            writeSync(copy, String(index))
            const byte = Buffer.alloc(1)
            readSync(read, byte)
            assert.equal(byte.toString(), String(index))
          })
          for (const fd of descriptors) closeSync(fd)
        })
        for (const fd of pipes.flat()) closeSync(fd)
      })
    }
  }

  it('does not wait for room', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.path, 'socket')
    bound(path, () => {
      const fill = (): void => {
        // net.unix.max_dgram_qlen is 10 at first, and nobody makes it a million.
        for (let i = 0; i < 1_000_000; i++) sendDatagram(libc, path, Buffer.from('x'))
      }
      assert.throws(fill, { code: 'EAGAIN' })
    })
  })

  it('tells when nobody is bound to a path, and when a path is too long for an address', async () => {
    await using sandbox = new Sandbox()
    for (const descriptors of [[], [0]]) {
      const send = (path: string) => () => {
        sendDatagram(libc, path, Buffer.from('x'), descriptors)
      }
      assert.throws(send(join(sandbox.path, 'nobody')), { code: 'ENOENT' })
      assert.throws(send(`/${'x'.repeat(108)}`), { code: 'ENAMETOOLONG' })
    }
  })
})
