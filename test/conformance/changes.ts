import type { Case } from './case.ts'

/** What would change the file system: the Python that tries it. */
const TRIED: Readonly<Record<string, string>> = {
  'open for writing': 'os.open(file, os.O_WRONLY)',
  'open for reading and writing': 'os.open(file, os.O_RDWR)',
  'open with the access mode 3': 'os.open(file, os.O_ACCMODE)',
  'open for appending': 'os.open(file, os.O_WRONLY | os.O_APPEND)',
  'open that truncates': 'os.open(file, os.O_RDONLY | os.O_TRUNC)',
  'open that truncates and writes': 'os.open(file, os.O_WRONLY | os.O_TRUNC)',
  'open that creates or writes the file there is': 'os.open(file, os.O_CREAT | os.O_WRONLY)',
  'open for writing past the page cache': 'os.open(file, os.O_WRONLY | os.O_DIRECT)',
  'open for writing through an O_PATH descriptor': "os.open(f'/proc/self/fd/{os.open(file, os.O_PATH)}', os.O_WRONLY)",
  create: "os.open(path + '/new', os.O_CREAT | os.O_WRONLY, 0o644)",
  'create for reading': "os.open(path + '/new', os.O_CREAT | os.O_RDONLY, 0o644)",
  'create that must be new': "os.open(path + '/new', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)",
  mkdir: "os.mkdir(path + '/new')",
  unlink: 'os.unlink(file)',
  rename: "os.rename(file, path + '/new')",
  'rename to a name that is to be free': "syscall(316, -100, file.encode(), -100, (path + '/new').encode(), 1)",
  'rename that leaves a whiteout': "syscall(316, -100, file.encode(), -100, (path + '/new').encode(), 4)",
  link: "os.link(file, path + '/new')",
  'link of a descriptor': "syscall(265, os.open(file, os.O_PATH), b'', -100, (path + '/new').encode(), 0x1000)",
  symlink: "os.symlink('dummy-file.txt', path + '/new')",
  'mknod of a pipe': "os.mkfifo(path + '/new')",
  'mknod of a file': "os.mknod(path + '/new', stat.S_IFREG | 0o644)",
  'mknod of a device': "os.mknod(path + '/new', stat.S_IFCHR | 0o644, os.makedev(1, 3))",
  'mknod of a whiteout': "os.mknod(path + '/new', stat.S_IFCHR, os.makedev(0, 0))",
  'a file without a name': 'os.open(path, os.O_TMPFILE | os.O_RDWR, 0o600)',
  'a socket': "__import__('socket').socket(1).bind(os.path.relpath(path + '/new'))",
  'chmod of the file': 'os.chmod(file, 0o666)',
  'chmod of the file to what it is': 'os.chmod(file, 0o444)',
  'chmod of the root': 'os.chmod(path, 0o777)',
  'fchmod of the file': 'os.fchmod(os.open(file, os.O_RDONLY), 0o666)',
  'chown of the file': 'os.chown(file, 1, 1)',
  'chown of the file to what it is': 'os.chown(file, 0, 0)',
  'lchown of the root': 'os.lchown(path, 1, 1)',
  'fchown of the file': 'os.fchown(os.open(file, os.O_RDONLY), 1, 1)',
  'truncate to nothing': 'os.truncate(file, 0)',
  'truncate to what it is': 'os.truncate(file, 13)',
  'truncate to more': 'os.truncate(file, 100)',
  'utimes of the file': 'os.utime(file, (1, 1))',
  'utimes to now': 'os.utime(file)',
  'utimes of the root': 'os.utime(path)',
  'utimes of the access time alone': "syscall(280, -100, file.encode(), struct.pack('qqqq', 1, 1, 0, 0x3ffffffe), 0)",
  'utimes of the modification time alone': "syscall(280, -100, file.encode(), struct.pack('qqqq', 0, 0x3ffffffe, 1, 1), 0)",
  'utimes of a descriptor': 'os.utime(os.open(file, os.O_RDONLY), (1, 1))',
  'setxattr of the user': "os.setxattr(file, 'user.a', b'b')",
  'setxattr of the system': "os.setxattr(file, 'trusted.a', b'b')",
  'setxattr of the root': "os.setxattr(path, 'user.a', b'b')",
  removexattr: "os.removexattr(file, 'user.a')",
}

/** The Python that tries it, and the errno's name. */
const TRIED_IN_VAIN: Readonly<Record<string, readonly [code: string, errno: string]>> = {
  'mkdir of a name there is': ['os.mkdir(file)', 'EEXIST'],
  'mknod of a name there is': ['os.mknod(file)', 'EEXIST'],
  'unlink of a name there is not': ["os.unlink(path + '/nope')", 'ENOENT'],
  'unlink of the root': ['os.unlink(path)', 'EISDIR'],
  'rmdir of a name there is not': ["os.rmdir(path + '/nope')", 'ENOENT'],
  'rmdir of the file': ['os.rmdir(file)', 'ENOTDIR'],
  'rmdir of the mount point': ['os.rmdir(path)', 'EBUSY'],
  'rename of the mount point': ["os.rename(path, path + '-moved')", 'EBUSY'],
  'rename to another file system': ["os.rename(file, os.path.dirname(path) + '/moved')", 'EXDEV'],
  'rename onto a name that is to be free': ['syscall(316, -100, file.encode(), -100, file.encode(), 1)', 'EEXIST'],
  'an exchange with a name there is not': ["syscall(316, -100, file.encode(), -100, (path + '/new').encode(), 2)", 'ENOENT'],
  'link to another file system': ["os.link(file, os.path.dirname(path) + '/linked')", 'EXDEV'],
  'open of the root for writing': ['os.open(path, os.O_RDWR)', 'EISDIR'],
  'a mapping that is shared and writable': ["__import__('mmap').mmap(os.open(file, os.O_RDONLY), 13, 1, 3)", 'EACCES'],
  'write to a descriptor that reads': ["os.write(os.open(file, os.O_RDONLY), b'x')", 'EBADF'],
  'ftruncate of a descriptor that reads': ['os.ftruncate(os.open(file, os.O_RDONLY), 0)', 'EINVAL'],
  'fallocate of a descriptor that reads': ['syscall(285, os.open(file, os.O_RDONLY), 0, 0, 100)', 'EBADF'],
  'copy_file_range into a descriptor that reads': [
    'os.copy_file_range(tempfile.TemporaryFile().fileno(), os.open(file, os.O_RDONLY), 10)',
    'EBADF',
  ],
  'splice into a descriptor that reads': ['os.splice(os.pipe()[0], os.open(file, os.O_RDONLY), 10)', 'EBADF'],
  'sendfile into a descriptor that reads': [
    'os.sendfile(os.open(file, os.O_RDONLY), os.open(sys.executable, os.O_RDONLY), 0, 10)',
    'EBADF',
  ],
  'a clone into a descriptor that reads': [
    "__import__('fcntl').ioctl(os.open(file, os.O_RDONLY), 0x40049409, tempfile.TemporaryFile().fileno())",
    'EBADF',
  ],
  'a record lock for writing': ["__import__('fcntl').lockf(os.open(file, os.O_RDONLY), 2)", 'EBADF'],
  execution: ["os.execv(file, ['x'])", 'EACCES'],
  'execution of a descriptor': ['os.execve(os.open(file, os.O_RDONLY), ["x"], {})', 'EACCES'],
}

const NO_RENAME2 = 'libfuse 2.9 knows no RENAME2, and the kernel makes EINVAL of ENOSYS'
const NO_OMITTED_TIMES = 'fuse-native does not take times that are to stay, and libfuse 2.9 then does nothing'
const NO_TMPFILE = 'libfuse 2.9 knows no TMPFILE, and the kernel makes EOPNOTSUPP of ENOSYS'

/** What a backend answers in place of EROFS. */
const EXCEPT: Readonly<Record<string, Case['except']>> = {
  'rename to a name that is to be free': { 'fuse-native': { expected: 'EINVAL', because: NO_RENAME2 } },
  'rename that leaves a whiteout': { 'fuse-native': { expected: 'EINVAL', because: NO_RENAME2 } },
  'utimes of the access time alone': { 'fuse-native': { expected: 'done', because: NO_OMITTED_TIMES } },
  'utimes of the modification time alone': { 'fuse-native': { expected: 'done', because: NO_OMITTED_TIMES } },
  'a file without a name': { 'fuse-native': { expected: 'ENOTSUP', because: NO_TMPFILE } },
}

/** Everything that would change the file system, by title, each to be refused with EROFS by the backend. */
export const REFUSED: Readonly<Record<string, Case>> = Object.fromEntries(
  Object.entries(TRIED).map(([title, code]) => {
    const except = EXCEPT[title]
    const refused: Case = { code: `show(outcome(lambda: ${code}))`, expected: 'EROFS' }
    return [title, except === undefined ? refused : { ...refused, except }]
  }),
)

/** Changes that fail for a reason of their own before a file system is asked. */
export const REFUSED_BEFORE: Readonly<Record<string, Case>> = Object.fromEntries(
  Object.entries(TRIED_IN_VAIN).map(([title, [code, errno]]) => [
    `${title}: ${errno}`,
    { code: `show(outcome(lambda: ${code}))`, expected: errno },
  ]),
)
