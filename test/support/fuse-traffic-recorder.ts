/**
 * A program that serves a mount with fuse-traffic-server.ts while fuse-traffic-client.py works on it, and writes down every message:
 *
 *     unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
 *       node test/support/fuse-traffic-recorder.ts FOLDER [OUT]
 *
 * Mounts below FOLDER and writes OUT, `traffic.json` in FOLDER unless it is given. Prints the client's results.
 * test/fixtures/fuse-traffic/linux-VERSION.json is such an OUT, put into shape by oxfmt.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '../../src/errors.ts'
import { decodeRequest } from '../../src/fuse/protocol/requests.ts'
import { Writer } from '../../src/fuse/protocol/writer.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc, MS } from '../../src/os/libc.ts'
import { answer } from './fuse-traffic-server.ts'
import { annotate, type Exchange, type Traffic } from './fuse-traffic.ts'

const BUFFER = 256 * 1024

class Recorder {
  readonly exchanges: Exchange[] = []
  readonly #device: number
  readonly #marker: string
  readonly #bytes = Buffer.alloc(BUFFER)
  readonly #writer = new Writer(BUFFER)

  constructor(device: number, marker: string) {
    this.#device = device
    this.#marker = marker
  }

  /** Answers until the mount is gone. Blocks the thread: nothing else is to be done in it. */
  serve(): void {
    for (;;) {
      const length = this.#read()
      if (length === undefined) return
      const bytes = this.#bytes.subarray(0, length)
      const request = decodeRequest(bytes)
      const action = answer(request, this.#writer)
      const replies = action === 'reply' || action === 'resend'
      const reply = replies ? this.#writer.buffer.subarray(0, this.#writer.length) : undefined
      this.exchanges.push({ ...annotate(request), request: bytes.toString('hex'), reply: reply?.toString('hex') ?? null })
      if (reply !== undefined) writeSync(this.#device, reply)
      if (action === 'hold') process.kill(request.header.pid, 'SIGINT')
      if (request.op === 'RMDIR') this.#waitForMarker()
    }
  }

  #read(): number | undefined {
    try {
      return readSync(this.#device, this.#bytes)
    } catch (error) {
      if (codeOf(error) === 'ENODEV') return undefined
      throw error
    }
  }

  /** What is to be forgotten is then all there, and comes as one request. */
  #waitForMarker(): void {
    const clock = new Int32Array(new SharedArrayBuffer(4))
    for (let tries = 0; !existsSync(this.#marker); tries++) {
      if (tries > 2000) throw new Error('the client does not go on after rmdir')
      Atomics.wait(clock, 0, 0, 5)
    }
  }
}

async function main(folder: string, out = join(folder, 'traffic.json')): Promise<number> {
  const mountPoint = join(folder, 'mnt')
  const marker = join(folder, 'removed')
  mkdirSync(mountPoint)
  const device = openSync('/dev/fuse', 'r+')
  const options = `fd=${device},rootmode=40000,user_id=0,group_id=0`
  new Libc(new AddonLoader()).mount('fuse-traffic', mountPoint, 'fuse.fuse-traffic', MS.NOSUID | MS.NODEV, options)
  const script = 'python3 "$0" "$1" "$2"; status=$?; umount "$1"; exit $status'
  const client = spawn('sh', ['-c', script, join(import.meta.dirname, 'fuse-traffic-client.py'), mountPoint, marker], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = once(client, 'exit')
  const recorder = new Recorder(device, marker)
  try {
    recorder.serve()
  } finally {
    // Whoever still waits for an answer gets ENOTCONN.
    closeSync(device)
  }
  const [status] = (await ended) as [number | null]
  const kernel = release().split('.').slice(0, 2).join('.')
  const traffic: Traffic = { kernel, exchanges: recorder.exchanges }
  writeFileSync(out, `${JSON.stringify(traffic, null, 1)}\n`)
  return status ?? 1
}

const [folder, out] = process.argv.slice(2)
if (folder === undefined) throw new Error('which folder?')
process.exitCode = await main(folder, out)
