import { closeSync } from 'node:fs'
import { openFuseDevice } from '../../src/fuse/session/device.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc, MS } from '../../src/os/libc.ts'
import { connectionOf } from '../../src/os/mounts/fuse-connections.ts'

/** A FUSE mount whose INIT nobody answers: each request waits until the device is closed. */
export class SilentMount implements Disposable {
  readonly path: string
  /** The device, until {@link die}, or until it is given away. */
  readonly fd: number
  /** The kernel's number of the connection. */
  readonly connection: number
  #open = true

  /** Mounts on a directory below a sandbox, which unmounts it; `type` as mount(8) shows it. */
  constructor(path: string, type = 'fuse.dummy-fuse') {
    this.path = path
    this.fd = openFuseDevice()
    const data = `fd=${this.fd},rootmode=40000,user_id=0,group_id=0`
    new Libc(new AddonLoader()).mount('dummy-fuse', this.path, type, MS.NOSUID | MS.NODEV, data)
    const connection = connectionOf(this.fd)
    if (connection === undefined) throw new Error('this kernel does not tell the connection of a device')
    this.connection = connection
  }

  /** Closes the device: the mount is dead then. */
  die(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.fd)
  }

  /** Gives the device away, which somebody else closes. */
  give(): number {
    this.#open = false
    return this.fd
  }

  [Symbol.dispose](): void {
    this.die()
  }
}
