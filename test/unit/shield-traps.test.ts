import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { ServingLoop } from '../../src/fuse/session/loop.ts'
import { AdaptivePolling } from '../../src/fuse/session/polling.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Epoll } from '../../src/os/descriptors/epoll.ts'
import { Libc } from '../../src/os/libc.ts'
import { Launcher } from '../../src/os/processes/launcher.ts'
import { DaemonProcess } from '../../src/shield/daemon-process.ts'
import type { MountCall } from '../../src/shield/trapped-calls.ts'
import { launcherImage } from '../support/launcher.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Python that makes the calls of a FUSE daemon, and writes what came of each into a file. */
const DAEMON = `
import ctypes, errno, fcntl, json, os, struct, sys
target, said = sys.argv[1:3]
libc = ctypes.CDLL(None, use_errno=True)
def outcome(result):
    return errno.errorcode[ctypes.get_errno()] if result < 0 else 'done'
def kind(fd):
    return os.readlink('/proc/self/fd/%d' % fd).split(':')[0]
def refused(act):
    try:
        act()
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
def mount(kind, data):
    return outcome(libc.mount(b'a source', target.encode(), kind, 7, data))
device = os.open('/dev/fuse', os.O_RDWR | os.O_NONBLOCK)
clone = os.open('/dev/fuse', os.O_RDWR)
results = {
    'fsopen': outcome(libc.syscall(430, b'fuse', 0)),
    'a larger pipe': refused(lambda: fcntl.fcntl(os.pipe()[0], 1031, 1 << 20)),
    'another fcntl': refused(lambda: fcntl.fcntl(device, fcntl.F_GETFD)),
    'an ioctl': refused(lambda: fcntl.ioctl(os.pipe()[0], 0x541b, bytes(4))),
    'a mount of no such type': mount(b'no-such-type', None),
    'a mount': mount(b'fuse.some', b'allow_other,fd=%d,rootmode=40000' % device),
    'its device': kind(device),
    'is inheritable': os.get_inheritable(device),
    'reads': refused(lambda: os.read(device, 100)),
    'a clone': refused(lambda: fcntl.ioctl(clone, 0x8004e500, struct.pack('I', device))),
    'its clone': kind(clone),
    'a second mount': mount(b'fuse.some', b'fd=%d' % os.open('/dev/fuse', os.O_RDWR)),
    'an unmount': outcome(libc.umount2(target.encode(), 2)),
    'an unmount from above': (os.chdir(os.path.dirname(target)), outcome(libc.umount2(os.path.basename(target).encode(), 8)))[1],
    'another unmount': outcome(libc.umount2(b'/proc/self', 2)),
    'descriptors': sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:4],
    'what it started': os.popen('readlink /proc/self/fd/%d; grep -c . /proc/self/mountinfo > /dev/null' % device).read(),
}
open(said, 'w').write(json.dumps(results))
`

describe('a daemon behind the launcher of shield', () => {
  it('is answered its calls that mount, unmount and clone, has our socket for its device, and makes all other calls itself', async () => {
    await using sandbox = new Sandbox()
    const libc = new Libc(new AddonLoader())
    const launcher = new Launcher(libc, launcherImage(sandbox, 'shield'))
    const loop = new ServingLoop(new Epoll(libc), new AdaptivePolling(0), libc.yielder())
    const target = sandbox.directory('target')
    const said = join(sandbox.path, 'said')
    const mounts: MountCall[] = []
    let end: string | undefined
    const command = { file: '/usr/bin/python3', words: [], args: ['python3', '-c', DAEMON, target, said], target }
    const daemon = new DaemonProcess({ libc, loop, launcher, output: undefined }, command, {
      mounting: (call) => {
        mounts.push(call)
        return undefined
      },
      ended: (why) => {
        end = why
      },
    })
    while (end === undefined) {
      loop.turn(10)
      await setImmediate()
    }
    daemon.close()
    launcher.close()
    assert.equal(end, 'ended with exit status 0')
    assert.deepEqual(mounts, [{ source: 'a source', target, type: 'fuse.some', flags: 7, data: 'allow_other,rootmode=40000' }])
    const expected = {
      fsopen: 'ENOSYS',
      'a larger pipe': 'EPERM',
      'another fcntl': 'done',
      'an ioctl': 'done',
      'a mount of no such type': 'ENODEV',
      'a mount': 'done',
      'its device': 'socket',
      'is inheritable': false,
      // It was opened with O_NONBLOCK.
      reads: 'EAGAIN',
      'a clone': 'done',
      'its clone': 'socket',
      'a second mount': 'EBUSY',
      'an unmount': 'done',
      'an unmount from above': 'done',
      'another unmount': 'EINVAL',
      // 3 was the launcher's, and is the first that the daemon has opened.
      descriptors: [0, 1, 2, 3],
      'what it started': '',
    }
    assert.deepEqual(JSON.parse(readFileSync(said, 'utf8')), expected)
  })

  it('says why it ends when its program cannot be executed', async () => {
    await using sandbox = new Sandbox()
    const libc = new Libc(new AddonLoader())
    const launcher = new Launcher(libc, launcherImage(sandbox, 'shield'))
    const loop = new ServingLoop(new Epoll(libc), new AdaptivePolling(0), libc.yielder())
    const ended = Promise.withResolvers<string>()
    const command = { file: '/no/program', words: [], args: ['program'], target: sandbox.directory('target') }
    const daemon = new DaemonProcess({ libc, loop, launcher, output: undefined }, command, {
      mounting: () => 'EPERM',
      ended: ended.resolve,
    })
    assert.equal(await ended.promise, 'cannot be executed: name a program that is there instead of /no/program')
    daemon.close()
    launcher.close()
  })
})
