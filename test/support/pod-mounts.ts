import { readFileSync } from 'node:fs'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'
import { GREETING, mount } from './mounts.ts'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** Where a container has what it was given. */
const MNT = '/mnt'

const SET_UP = `
set -e
while mountpoint -q ${MNT}; do umount -l ${MNT}; done
mount --rbind "$1" "$2"
mount --make-r"$3" "$2"
echo set up
exec sleep 3600
`

/** The mounts of a container: a host path at /mnt in a mount namespace of its own, as a container runtime makes it. */
export class PodMounts {
  readonly #sandbox: Sandbox
  readonly #running: Running
  readonly #file: string

  private constructor(sandbox: Sandbox, running: Running, file: string) {
    this.#sandbox = sandbox
    this.#running = running
    this.#file = file
  }

  /**
   * Resolves once the mounts are made. `propagation`: slave for HostToContainer, private for None. `file`: what is read below the host path; the host
   * path itself where it is a file, as with a subPath. Throws with the words of mount(8).
   */
  static async start(
    sandbox: Sandbox,
    hostPath: string,
    propagation: 'private' | 'slave',
    file: string | undefined = 'dummy-file.txt',
  ): Promise<PodMounts> {
    const place = file === '' ? `${MNT}/file` : MNT
    const words = ['--mount', '--propagation', 'slave', '--', 'sh', '-c', file === '' ? SET_UP_FILE : SET_UP, 'sh']
    const running = sandbox.start('unshare', [...words, hostPath, place, propagation])
    await eventually(`the container is set up: ${running.output()}`, () => {
      if (running.child.exitCode !== null) throw new Error(running.output())
      return running.output().includes('set up')
    })
    return new PodMounts(sandbox, running, file === '' ? place : `${MNT}/${file}`)
  }

  /** Whether it finds the volume's file, by its path. */
  async reads(): Promise<boolean> {
    const { stdout } = await this.#sandbox.run('nsenter', [`--mount=/proc/${this.#running.pid}/ns/mnt`, 'cat', this.#file])
    return stdout === GREETING
  }

  /** Resolves once it reads. */
  async recovers(): Promise<void> {
    await eventually('the consumer reads again', () => this.reads())
  }

  /** How many mounts lie on top of each other at /mnt. */
  layers(): number {
    const lines = parseMountinfo(readFileSync(`/proc/${this.#running.pid}/mountinfo`, 'utf8'))
    return lines.filter(({ mountPoint }) => mountPoint === MNT).length
  }
}

/** A subPath is a file here: /mnt holds nothing else. */
const SET_UP_FILE = `
mount -t tmpfs none ${MNT} && touch ${MNT}/file
${SET_UP.replace(/^while.*$/m, '')}
`

/** Makes everything below a sandbox propagate, as the kubelet's folder does. */
export function shareMounts(sandbox: Sandbox): void {
  mount('--bind', sandbox.path, sandbox.path)
  mount('--make-private', sandbox.path)
  mount('--make-shared', sandbox.path)
}
