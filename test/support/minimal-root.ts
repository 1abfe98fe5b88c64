import { copyFileSync, mkdirSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { EXECUTABLE, ROOT } from './paths.ts'
import type { Result, Sandbox } from './sandbox.ts'

/** Files that a Debian of debootstrap's minbase has not, by what their names begin with, in the folders of programs and libraries. */
const HIDDEN = /^(node|nodejs|npm|npx|corepack|fusermount|fusermount3|mount\.fuse3?|libfuse|libnode)/
const FOLDERS = ['usr/bin', 'usr/sbin', 'usr/local/bin', 'usr/local/sbin', 'usr/lib', 'usr/lib/x86_64-linux-gnu', 'usr/local/lib']

/** Mounts all that a root needs around the folder `$1`, and executes the rest there, without HOME. */
const ENTER = `set -e
root=$1; shift
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/root"
cd "$root/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o nodev,nosuid,noexec,mode=755 tmpfs run
mount -t tmpfs -o nodev,nosuid,noexec,mode=1777 tmpfs tmp
mount -t tmpfs -o nodev,nosuid,noexec,mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs var/lib
mount -o remount,bind,ro .
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot . "$@"`

/**
 * A Debian root with the executable and its names in /usr/local/bin and without node, npm, libfuse or fusermount: an overlay of this
 * machine's. Read-only but for /run and /var/lib; /run, /tmp and /dev/shm are mounted noexec.
 */
export class MinimalRoot {
  readonly #sandbox: Sandbox
  readonly #folder: string

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox
    // The overlay's folders lie on a file system of their own: this machine's may be an overlay itself, which cannot hold another's.
    this.#folder = sandbox.directory('minimal')
  }

  /** Lays the root out. To be called once, before {@link run}. */
  async prepare(): Promise<void> {
    await this.#sandbox.run('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', this.#folder])
    for (const name of ['upper', 'work', 'root']) mkdirSync(join(this.#folder, name))
    const bin = join(this.#folder, 'upper/usr/local/bin')
    mkdirSync(bin, { recursive: true })
    copyFileSync(EXECUTABLE, join(bin, 'dummy-fuse-csi'))
    await this.#sandbox.run('ln', ['-s', 'dummy-fuse-csi', join(bin, 'dummy-fuse')])
    await this.#sandbox.run('ln', ['-s', 'dummy-fuse-csi', join(bin, 'dummy-fuse-workload')])
    for (const folder of FOLDERS) await this.#hide(folder)
    await this.#whiteOut('root')
    await this.#whiteOut(ROOT)
  }

  /** Runs a shell script inside, in a mount and process namespace of its own that ends with it. */
  async run(script: string, timeout = 60_000): Promise<Result> {
    const inside = ['sh', '-c', ENTER, 'sh', this.#folder, 'bash', '-c', script]
    return await this.#sandbox.run('unshare', ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...inside], {
      timeout,
    })
  }

  async #hide(folder: string): Promise<void> {
    let names: string[]
    try {
      names = readdirSync(join('/', folder))
    } catch {
      return
    }
    for (const name of names.filter((name) => HIDDEN.test(name))) await this.#whiteOut(join(folder, name))
  }

  /** A character device 0:0 in an upper layer hides what is below it (Documentation/filesystems/overlayfs.rst). */
  async #whiteOut(path: string): Promise<void> {
    const parent = join(this.#folder, 'upper', path, '..')
    mkdirSync(parent, { recursive: true })
    await this.#sandbox.run('mknod', [join(parent, basename(path)), 'c', '0', '0'])
  }
}
