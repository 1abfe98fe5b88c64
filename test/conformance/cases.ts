import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { python } from '../support/python.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Mounts dummyfs at a new directory of the sandbox and gives its path. */
export type MountBackend = (sandbox: Sandbox) => Promise<string>

interface Case {
  /** Python that prints JSON (support/python.ts). */
  readonly code: string
  readonly expected: unknown
}

const HELLO = 'Hello world!\n'

/** What reading is to give, by title. */
const READING: Readonly<Record<string, Case>> = {
  'the root is a directory 0755 of root with 2 links, no blocks and the times of 1970': {
    code: `s = os.stat(path)
print(json.dumps([oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks, s.st_atime, s.st_mtime, s.st_ctime, s.st_ino]))`,
    expected: ['0o40755', 2, 0, 0, 0, 0, 0, 0, 0, 1],
  },
  'the file is 0444 of root with one link, 13 bytes, no blocks and the times of 1970': {
    code: `s = os.stat(file)
print(json.dumps([oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks, s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns]))`,
    expected: ['0o100444', 1, 0, 0, 13, 0, 0, 0, 0],
  },
  'lstat, fstat and stat agree on the file': {
    code: `fd = os.open(file, os.O_RDONLY)
print(json.dumps(len({tuple(os.lstat(file)), tuple(os.fstat(fd)), tuple(os.stat(file))})))`,
    expected: 1,
  },
  '. is the root and .. the directory that it is mounted in': {
    code: `same = os.path.samestat
print(json.dumps([same(os.stat(path + '/.'), os.stat(path)), same(os.stat(path + '/..'), os.stat(os.path.dirname(path)))]))`,
    expected: [true, true],
  },
  'readdir lists the file alone, again after a rewind, with its inode and type': {
    code: `fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
with os.scandir(path) as entries:
    typed = [[e.name, e.is_file(follow_symlinks=False), e.inode() == os.stat(file).st_ino] for e in entries]
print(json.dumps([os.listdir(fd), os.listdir(fd), typed]))`,
    expected: [['dummy-file.txt'], ['dummy-file.txt'], [['dummy-file.txt', true, true]]],
  },
  'absent names give ENOENT, names below the file ENOTDIR, names too long ENAMETOOLONG': {
    code: `names = ['nope', 'dummy-file.tx', 'dummy-file.txt2', 'DUMMY-FILE.TXT', 'a/b', ' ', '\\n', '\\u00e9', 'x' * 255, 'dummy-file.txt/x', 'x' * 2000]
print(json.dumps([outcome(lambda: os.stat(path + '/' + name)) for name in names]))`,
    expected: [...Array<string>(9).fill('ENOENT'), 'ENOTDIR', 'ENAMETOOLONG'],
  },
  'a name that was absent is looked up again, and stays absent': {
    code: `print(json.dumps([outcome(lambda: os.stat(path + '/nope')) for _ in range(20)]))`,
    expected: Array<string>(20).fill('ENOENT'),
  },
  'every range of offset and length from 0 to 20 reads what the 13 bytes hold there': {
    code: `fd, text = os.open(file, os.O_RDONLY), b'Hello world!\\n'
print(json.dumps([[o, n] for o in range(21) for n in range(21) if os.pread(fd, n, o) != text[o:o + n]]))`,
    expected: [],
  },
  'reads far past the end, across it and of a megabyte give what is there': {
    code: `fd = os.open(file, os.O_RDONLY)
ranges = [(1 << 20, 0), (1 << 20, 12), (1, 13), (4096, 4096), (1, 1 << 40), (10, (1 << 63) - 11)]
print(json.dumps([os.pread(fd, n, o).decode() for n, o in ranges]))`,
    expected: [HELLO, '\n', '', '', '', ''],
  },
  'reads past the page cache give the same': {
    code: `import mmap
fd, page = os.open(file, os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 4096)
counts = [os.preadv(fd, [page], o) for o in (0, 512, 4096)]
print(json.dumps([counts, page[:13].decode()]))`,
    expected: [[13, 0, 0], HELLO],
  },
  'read and seek go on where they were, and SEEK_END is the size': {
    code: `fd = os.open(file, os.O_RDONLY)
print(json.dumps([os.read(fd, 5).decode(), os.read(fd, 100).decode(), os.read(fd, 1).decode(), os.lseek(fd, 0, 2), os.lseek(fd, 6, 0), os.read(fd, 5).decode()]))`,
    expected: ['Hello', ' world!\n', '', 13, 6, 'world'],
  },
  "a shared and a private mapping show the file and zeroes to the page's end": {
    code: `import mmap
fd = os.open(file, os.O_RDONLY)
maps = [mmap.mmap(fd, 13, flags, mmap.PROT_READ) for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE)]
print(json.dumps([m[:].decode() for m in maps]))`,
    expected: [HELLO, HELLO],
  },
  'a private mapping can be written without changing the file': {
    code: `import mmap
m = mmap.mmap(os.open(file, os.O_RDONLY), 13, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
m[0:5] = b'HELLO'
print(json.dumps([m[:].decode(), open(file).read()]))`,
    expected: ['HELLO world!\n', HELLO],
  },
  'sendfile and copy_file_range give the whole file': {
    code: `import tempfile
fd, out, copy = os.open(file, os.O_RDONLY), tempfile.TemporaryFile(), tempfile.TemporaryFile()
sent = os.sendfile(out.fileno(), fd, 0, 1000)
os.lseek(out.fileno(), 0, 0)
print(json.dumps([sent, os.read(out.fileno(), 100).decode(), os.sendfile(copy.fileno(), fd, 13, 10)]))`,
    expected: [13, HELLO, 0],
  },
  'eight readers at once all read the right bytes': {
    code: `import concurrent.futures
def reader(_):
    fd = os.open(file, os.O_RDONLY | os.O_DIRECT)
    import mmap
    page, wrong = mmap.mmap(-1, 4096), 0
    for _ in range(50):
        wrong += os.preadv(fd, [page], 0) != 13 or page[:13] != b'Hello world!\\n' or len(os.listdir(path)) != 1
    os.close(fd)
    return wrong
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(json.dumps(sum(pool.map(reader, range(8)))))`,
    expected: 0,
  },
  'statfs tells of one block in use, two files and names of 255 bytes': {
    code: `s = os.statvfs(path)
print(json.dumps([s.f_bsize, s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_namemax, tuple(os.statvfs(file)) == tuple(s)]))`,
    expected: [4096, 4096, 1, 0, 0, 2, 0, 255, true],
  },
  'opening for reading works with each flag that asks for no change, also of the directory': {
    code: `flags = [os.O_RDONLY, os.O_NONBLOCK, os.O_NOFOLLOW, os.O_CLOEXEC, os.O_NOATIME, os.O_SYNC, os.O_PATH, os.O_DIRECT]
print(json.dumps([outcome(lambda: os.open(file, f)) for f in flags] + [outcome(lambda: os.open(path, os.O_DIRECTORY))]))`,
    expected: Array<string>(9).fill('done'),
  },
  'read of a directory is EISDIR, a directory open of the file ENOTDIR, an exclusive create of it EEXIST': {
    code: `fd = os.open(path, os.O_RDONLY)
print(json.dumps([outcome(lambda: os.read(fd, 1)), outcome(lambda: os.open(file, os.O_DIRECTORY)), outcome(lambda: os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR))]))`,
    expected: ['EISDIR', 'ENOTDIR', 'EEXIST'],
  },
  'access(2) grants reading, and no execution of the file': {
    code: `print(json.dumps([os.access(file, os.F_OK), os.access(file, os.R_OK), os.access(path, os.R_OK | os.X_OK), os.access(file, os.X_OK)]))`,
    expected: [true, true, true, false],
  },
  'closing, fsync, locks and reading ahead succeed on a descriptor that only reads': {
    code: `import fcntl
fd = os.open(file, os.O_RDONLY)
acts = [lambda: os.fsync(fd), lambda: fcntl.flock(fd, fcntl.LOCK_SH), lambda: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED), lambda: os.close(fd)]
print(json.dumps([outcome(act) for act in acts]))`,
    expected: ['done', 'done', 'done', 'done'],
  },
}

/** Everything that would change the file system: Python that tries it. */
const CHANGES: Readonly<Record<string, string>> = {
  'open for writing': 'os.open(file, os.O_WRONLY)',
  'open for reading and writing': 'os.open(file, os.O_RDWR)',
  'open for appending': 'os.open(file, os.O_WRONLY | os.O_APPEND)',
  'open that truncates': 'os.open(file, os.O_RDONLY | os.O_TRUNC)',
  'open that creates or writes the file there is': 'os.open(file, os.O_CREAT | os.O_WRONLY)',
  create: "os.open(path + '/new', os.O_CREAT | os.O_WRONLY, 0o644)",
  'create for reading': "os.open(path + '/new', os.O_CREAT | os.O_RDONLY, 0o644)",
  mkdir: "os.mkdir(path + '/new')",
  unlink: 'os.unlink(file)',
  rename: "os.rename(file, path + '/new')",
  link: "os.link(file, path + '/new')",
  symlink: "os.symlink('dummy-file.txt', path + '/new')",
  'mknod of a pipe': "os.mkfifo(path + '/new')",
  'mknod of a file': "os.mknod(path + '/new', stat.S_IFREG | 0o644)",
  'mknod of a device': "os.mknod(path + '/new', stat.S_IFCHR | 0o644, os.makedev(1, 3))",
  'a socket': "__import__('socket').socket(1).bind(os.path.relpath(path + '/new'))",
  'chmod of the file': 'os.chmod(file, 0o666)',
  'chmod of the root': 'os.chmod(path, 0o777)',
  'chown of the file': 'os.chown(file, 1, 1)',
  'lchown of the root': 'os.lchown(path, 1, 1)',
  'truncate to nothing': 'os.truncate(file, 0)',
  'truncate to more': 'os.truncate(file, 100)',
  'utimes of the file': 'os.utime(file, (1, 1))',
  'utimes to now': 'os.utime(file)',
  'utimes of the root': 'os.utime(path)',
  setxattr: "os.setxattr(file, 'user.a', b'b')",
  removexattr: "os.removexattr(file, 'user.a')",
}

/** Changes that fail for a reason of their own before a file system is asked, by the errno's name. */
const REFUSED_BEFORE: Readonly<Record<string, readonly [code: string, errno: string]>> = {
  'mkdir of a name there is': ['os.mkdir(file)', 'EEXIST'],
  'unlink of a name there is not': ["os.unlink(path + '/nope')", 'ENOENT'],
  'rmdir of a name there is not': ["os.rmdir(path + '/nope')", 'ENOENT'],
  'rmdir of the file': ['os.rmdir(file)', 'ENOTDIR'],
  'rmdir of the mount point': ['os.rmdir(path)', 'EBUSY'],
  'rename to another file system': ["os.rename(file, os.path.dirname(path) + '/moved')", 'EXDEV'],
  'a mapping that is shared and writable': ["__import__('mmap').mmap(os.open(file, os.O_RDONLY), 13, 1, 3)", 'EACCES'],
  'write to a descriptor that reads': ["os.write(os.open(file, os.O_RDONLY), b'x')", 'EBADF'],
  'ftruncate of a descriptor that reads': ['os.ftruncate(os.open(file, os.O_RDONLY), 0)', 'EINVAL'],
}

/** Holds a backend to all that dummyfs promises. Each case mounts for itself. */
export function conformance(backend: string, mount: MountBackend): void {
  describe(`dummyfs over ${backend}`, () => {
    it('ls -l shows what the original shows', async () => {
      await using sandbox = new Sandbox()
      const path = await mount(sandbox)
      const { stdout } = await sandbox.run('ls', ['-l', path], { env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } })
      assert.equal(stdout, 'total 0\n-r--r--r-- 1 root root 13 Jan  1  1970 dummy-file.txt\n')
    })

    it('ls -la shows the root among the other directories', async () => {
      await using sandbox = new Sandbox()
      const path = await mount(sandbox)
      const { stdout } = await sandbox.run('ls', ['-la', path], { env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } })
      assert.match(
        stdout,
        /^total \d+\ndrwxr-xr-x 2 root root +0 Jan +1 +1970 \.\ndrwx.* \.\.\n-r--r--r-- 1 root root +13 Jan +1 +1970 dummy-file\.txt\n$/,
      )
    })

    for (const [title, { code, expected }] of Object.entries(READING)) {
      it(title, async () => {
        await using sandbox = new Sandbox()
        const path = await mount(sandbox)
        assert.deepEqual(await python(sandbox, path, code), expected)
      })
    }

    it('every change is refused as a read-only file system refuses it, and changes nothing', async (t) => {
      await using sandbox = new Sandbox()
      const path = await mount(sandbox)
      const outcomes = await attempt(sandbox, path, CHANGES)
      for (const title of Object.keys(CHANGES)) {
        await t.test(`${title}: EROFS or EACCES`, () => {
          assert.match(outcomes[title] ?? 'not tried', /^(EROFS|EACCES)$/)
        })
      }
      const before = await attempt(
        sandbox,
        path,
        mapValues(REFUSED_BEFORE, ([code]) => code),
      )
      assert.deepEqual(
        before,
        mapValues(REFUSED_BEFORE, ([, errno]) => errno),
      )
      const { stdout } = await sandbox.run('sh', ['-c', `ls -A "$0"; cat "$0/dummy-file.txt"`, path])
      assert.equal(stdout, `dummy-file.txt\n${HELLO}`)
    })

    it('access(2) for writing is refused with EROFS', async () => {
      await using sandbox = new Sandbox()
      const path = await mount(sandbox)
      const code = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def access(of):
    return errno.errorcode.get(ctypes.get_errno()) if libc.access(of.encode(), os.W_OK) else 'granted'
print(json.dumps([access(file), access(path)]))`
      assert.deepEqual(await python(sandbox, path, code), ['EROFS', 'EROFS'])
    })
  })
}

/** Runs each piece of Python, and gives the errno's name, or `done`, of each. */
async function attempt(sandbox: Sandbox, path: string, codes: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const lines = Object.entries(codes).map(([title, code]) => `outcomes[${JSON.stringify(title)}] = outcome(lambda: ${code})`)
  return (await python(sandbox, path, ['outcomes = {}', ...lines, 'print(json.dumps(outcomes))'].join('\n'))) as Record<
    string,
    string
  >
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
