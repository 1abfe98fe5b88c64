import { EXECUTABLE } from './paths.ts'
import type { Result, Sandbox } from './sandbox.ts'

/** What mount(8) finds for the type fuse.dummy-fuse: our helper, or libfuse's, which calls dummy-fuse. */
export type Helper = 'mount.fuse.dummy-fuse' | 'mount.fuse3'

const HELPERS: readonly Helper[] = ['mount.fuse.dummy-fuse', 'mount.fuse3']

/** Lays dummy-fuse and the helper `$2` over /usr/sbin, where mount(8) looks whatever PATH says, and runs the script `$4` with the mount point `$M`. */
const ENTER = `set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/mnt"
ln -s "$3" "$1/upper/dummy-fuse"
if [ "$2" = mount.fuse.dummy-fuse ]; then ln -s "$3" "$1/upper/$2"; fi
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$1/upper,workdir=$1/work" /usr/sbin
# What mount(8) notes of user, _netdev and the like.
mkdir -p /run/mount && mount -t tmpfs tmpfs /run/mount
export M="$1/mnt" W="$1"
exec bash -c "$4"`

/** Runs a shell script with one of the helpers installed, in a mount and process namespace of its own that ends with it. */
export async function withHelper(sandbox: Sandbox, helper: Helper, script: string): Promise<Result> {
  const folder = sandbox.directory(`root-of-${HELPERS.indexOf(helper)}`)
  const inside = ['bash', '-c', ENTER, 'bash', folder, helper, EXECUTABLE, script]
  return await sandbox.run('unshare', ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...inside], {
    timeout: 240_000,
  })
}
