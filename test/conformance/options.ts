import { chmodSync } from 'node:fs'
import { describe } from 'node:test'
import { sharedMount } from '../support/shared-mount.ts'
import { CACHING, CONNECTION } from './caching.ts'
import { type Case, HELLO, pythonCases, type Subject } from './case.ts'
import { REFUSED } from './changes.ts'

type Cases = Readonly<Record<string, Case>>

/** A user's id that is not root's, as the C library's `nobody` has it. */
const NOBODY = 65534

/** line(): source, type and options of the mount, as /proc/mounts has them. by(): what another user gets. */
const HELPERS = `
def line():
    return next(words for words in map(str.split, open("/proc/self/mounts")) if words[1] == path)
def by(user, *acts):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setgroups([]), os.setgid(user), os.setuid(user)
        os.write(writer, json.dumps([value(act) for act in acts]).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(reader, 1000))
def reading():
    return os.read(os.open(file, os.O_RDONLY), 100).decode()
def listing():
    return os.listdir(path)
def mode():
    return [oct(os.stat(of).st_mode & 0o7777) for of in (path, file)]
def writing():
    return os.open(file, os.O_WRONLY)
def granted(flags):
    return call(libc.access, file.encode(), flags)
`

function lineIs(source: string, type: string, options: string): Case {
  return {
    code: `${HELPERS}\nsource, _, kind, options, *_ = line()\nshow([source, kind, options])`,
    expected: [source, type, options],
  }
}

const ALL = [HELLO, ['dummy-file.txt']]
const NONE = ['EACCES', 'EACCES', 'EACCES']

/** Cases by the mount options that they are seen with. */
const OPTIONS: Readonly<Record<string, Cases>> = {
  '': {
    'the mount line has the names, nosuid and nodev': lineIs(
      'dummy-fuse',
      'fuse.dummy-fuse',
      'rw,nosuid,nodev,relatime,user_id=0,group_id=0',
    ),
    'another user gets EACCES, and of a descriptor that root has opened only what it was opened for': {
      code: `${HELPERS}
fd = os.open(file, os.O_RDONLY)
show(by(${NOBODY}, reading, listing, lambda: os.stat(path).st_size, lambda: os.fstat(fd).st_size, lambda: os.pread(fd, 5, 0).decode()))`,
      expected: [...NONE, 'EACCES', 'Hello'],
    },
    'the file can be mapped for execution': {
      code: `import mmap
show(mmap.mmap(os.open(file, os.O_RDONLY), 13, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)[:].decode())`,
      expected: HELLO,
    },
  },
  allow_other: {
    'the mount line says so': lineIs('dummy-fuse', 'fuse.dummy-fuse', 'rw,nosuid,nodev,relatime,user_id=0,group_id=0,allow_other'),
    'another user reads and lists, and is refused changes as root is': {
      code: `${HELPERS}
show(by(${NOBODY}, reading, listing, writing, lambda: granted(os.R_OK), lambda: granted(os.W_OK), lambda: granted(os.X_OK), lambda: os.unlink(file)))`,
      expected: [...ALL, 'EROFS', 0, 'EROFS', 'EACCES', 'EROFS'],
    },
  },
  allow_root: {
    'another user gets EACCES, as root is who mounted': {
      code: `${HELPERS}
show(by(${NOBODY}, reading, listing, lambda: os.stat(file).st_size))`,
      expected: NONE,
    },
    'root reads': { code: `${HELPERS}\nshow([reading(), listing()])`, expected: ALL },
  },
  'allow_other,default_permissions': {
    'the mount line says so': lineIs(
      'dummy-fuse',
      'fuse.dummy-fuse',
      'rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other',
    ),
    "the kernel judges by the file's permissions: another user reads, and may not write or execute": {
      code: `${HELPERS}
show(by(${NOBODY}, reading, listing, writing, lambda: granted(os.R_OK), lambda: granted(os.W_OK), lambda: granted(os.X_OK)))`,
      expected: [...ALL, 'EACCES', 0, 'EACCES', 'EACCES'],
    },
    'root, whom permissions do not stop, is refused writing by the file system': {
      code: `${HELPERS}\nshow([value(writing), value(lambda: os.unlink(file))])`,
      expected: ['EROFS', 'EROFS'],
    },
  },
  [`allow_other,default_permissions,umask=077,uid=${NOBODY},gid=5`]: {
    'stat tells the owner, the group and the permissions that the umask leaves': {
      code: `${HELPERS}\nshow([mode(), [[s.st_uid, s.st_gid, s.st_size] for s in (os.stat(path), os.stat(file))]])`,
      expected: [
        ['0o700', '0o700'],
        [
          [NOBODY, 5, 0],
          [NOBODY, 5, 13],
        ],
      ],
    },
    'the owner reads, and nobody else': {
      code: `${HELPERS}\nshow([by(${NOBODY}, reading, listing), by(${NOBODY - 1}, reading, listing)])`,
      expected: [ALL, ['EACCES', 'EACCES']],
    },
  },
  'allow_other,umask=0777': {
    'permissions that nobody checks are shown alone: another user reads, and root enters': {
      code: `${HELPERS}\nshow([mode(), by(${NOBODY}, reading, listing), outcome(lambda: os.chdir(path))])`,
      expected: [['0o0', '0o0'], ALL, 'done'],
    },
  },
  'ro,noexec': {
    'the mount line says so': lineIs('dummy-fuse', 'fuse.dummy-fuse', 'ro,nosuid,nodev,noexec,relatime,user_id=0,group_id=0'),
    'it reads, and cannot be mapped for execution': {
      code: `import mmap
${HELPERS}
fd = os.open(file, os.O_RDONLY)
show([reading(), outcome(lambda: mmap.mmap(fd, 13, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)), outcome(lambda: os.execv(file, ['x'])), value(lambda: granted(os.W_OK))])`,
      expected: [HELLO, 'EPERM', 'EACCES', 'EROFS'],
    },
    ...Object.fromEntries(Object.entries(REFUSED).map(([title, { code }]) => [`${title}: EROFS`, { code, expected: 'EROFS' }])),
  },
  'suid,dev,noatime,sync,dirsync,fsname=a\\,b c,subtype=other': {
    'the mount line says so': lineIs('a,b\\040c', 'fuse.other', 'rw,sync,dirsync,noatime,user_id=0,group_id=0'),
    'it reads': { code: `${HELPERS}\nshow(reading())`, expected: HELLO },
  },
  'max_read=4096,sync_read,max_background=7,congestion_threshold=3,max_readahead=65536': {
    'the kernel has taken each of the numbers': {
      code: `${CONNECTION}${HELPERS}
device = os.stat(path).st_dev
ahead = open(f'/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb').read()
options, control = line()[3], connection()
show([options.split(',')[-1], int(ahead)] + [int(open(control + '/' + name).read()) for name in ('max_background', 'congestion_threshold')])`,
      expected: ['max_read=4096', 64, 7, 3],
    },
    'it reads, by a page and by a megabyte': {
      code: `show([os.pread(os.open(file, flags), size, 0).decode() for flags in (os.O_RDONLY, os.O_DIRECT) for size in (1, 4096, 1 << 20)])`,
      expected: ['H', HELLO, HELLO, 'H', HELLO, HELLO],
    },
  },
  'max_background=100000': {
    'the kernel is given as much as it takes, and three quarters of it as the threshold of congestion': {
      code: `${CONNECTION}
control = connection()
show([int(open(control + '/' + name).read()) for name in ('max_background', 'congestion_threshold')])`,
      expected: [65535, 49151],
    },
  },
  direct_io: {
    'every range of offset and length reads what is there': {
      code: `fd, text = os.open(file, os.O_RDONLY), b'Hello world!\\n'
show([[o, n] for o in range(21) for n in range(21) if os.pread(fd, n, o) != text[o:o + n]])`,
      expected: [],
    },
    'a shared mapping is ENODEV, and a private one shows the file': {
      code: `import mmap
fd = os.open(file, os.O_RDONLY)
def mapped(flags):
    return mmap.mmap(fd, 13, flags, mmap.PROT_READ)[:].decode()
show([value(lambda: mapped(mmap.MAP_SHARED)), value(lambda: mapped(mmap.MAP_PRIVATE))])`,
      expected: ['ENODEV', HELLO],
    },
  },
}

/** Holds a backend to the mount options it takes, each with one mount for all that is seen with it. */
export function mountOptions(subject: Subject): void {
  const withOptions = (options: string, table: Cases): void => {
    describe(options === '' ? 'without mount options' : `with -o ${options}`, () => {
      const mounted = sharedMount(async (sandbox) => {
        // mkdtemp(3) makes it 0700, which would keep other users out before they reach the mount.
        chmodSync(sandbox.path, 0o755)
        return await subject.mount(sandbox, options)
      })
      pythonCases(subject, mounted, table)
    })
  }

  for (const [options, table] of Object.entries(OPTIONS)) withOptions(options, table)
  describe('what is still answered once the connection is cut', () => {
    for (const [options, cached] of CACHING) withOptions(options, { 'is what the options let the kernel cache': cached })
  })
}
