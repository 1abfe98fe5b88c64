import { type Case, HELLO } from './case.ts'

/** What reading gives, by title. */
export const READING: Readonly<Record<string, Case>> = {
  'every range of offset and length from 0 to 20 reads what the 13 bytes hold there': {
    code: `text = b'Hello world!\\n'
wrong = []
for way in (os.O_RDONLY, os.O_DIRECT):
    fd = os.open(file, way)
    wrong += [[way, o, n] for o in range(21) for n in range(21) if os.pread(fd, n, o) != text[o:o + n]]
show(wrong)`,
    expected: [],
  },
  'reads far past the end, across it and of a megabyte give what is there': {
    code: `ranges = [(1 << 20, 0), (1 << 20, 12), (1, 13), (4096, 4096), (1, 1 << 40), (10, (1 << 63) - 11)]
show([[os.pread(fd, n, o).decode() for n, o in ranges] for fd in (os.open(file, os.O_RDONLY), os.open(file, os.O_DIRECT))])`,
    expected: Array<string[]>(2).fill([HELLO, '\n', '', '', '', '']),
  },
  'an offset below zero is EINVAL': {
    code: `fd = os.open(file, os.O_RDONLY)
show([outcome(lambda: os.pread(fd, 1, -1)), outcome(lambda: os.lseek(fd, -1, os.SEEK_SET))])`,
    expected: ['EINVAL', 'EINVAL'],
  },
  'read and seek go on where they were, and SEEK_END is the size': {
    code: `fd = os.open(file, os.O_RDONLY)
show([os.read(fd, 5).decode(), os.read(fd, 100).decode(), os.read(fd, 1).decode(), os.lseek(fd, 0, 2), os.lseek(fd, 6, 0), os.read(fd, 5).decode()])`,
    expected: ['Hello', ' world!\n', '', 13, 6, 'world'],
  },
  'SEEK_DATA and SEEK_HOLE see data up to the end and nothing behind it': {
    code: `fd = os.open(file, os.O_RDONLY)
show([value(lambda: os.lseek(fd, at, whence)) for at in (0, 5, 12, 13, 100) for whence in (os.SEEK_DATA, os.SEEK_HOLE)])`,
    expected: [0, 13, 5, 13, 12, 13, 'ENXIO', 'ENXIO', 'ENXIO', 'ENXIO'],
  },
  'readv scatters, also past the page cache, and preadv goes from its offset': {
    code: `fd, direct = os.open(file, os.O_RDONLY), os.open(file, os.O_DIRECT)
def scattered(read):
    parts = [bytearray(3), bytearray(5), bytearray(50)]
    return [read(parts), [bytes(part).rstrip(b'\\0').decode() for part in parts]]
show([scattered(lambda p: os.readv(fd, p)), scattered(lambda p: os.preadv(fd, p, 6)), scattered(lambda p: os.preadv(direct, p, 6))])`,
    expected: [
      [13, ['Hel', 'lo wo', 'rld!\n']],
      [7, ['wor', 'ld!\n', '']],
      [7, ['wor', 'ld!\n', '']],
    ],
  },
  "mappings show the file and zeroes to the page's end, and the page behind it is SIGBUS": {
    code: `libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
fd = os.open(file, os.O_RDONLY)
def look(flags):
    at = libc.mmap(None, 8192, 1, flags, fd, 0)
    child = os.fork()
    if child == 0:
        ctypes.string_at(at + 4096, 1)
        os._exit(0)
    return [ctypes.string_at(at, 13).decode(), ctypes.string_at(at + 13, 4083) == bytes(4083), signal.Signals(os.WTERMSIG(os.waitpid(child, 0)[1])).name]
MAP_SHARED, MAP_PRIVATE, MAP_POPULATE = 1, 2, 0x8000
show([look(flags) for flags in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED | MAP_POPULATE)])`,
    expected: Array<unknown>(3).fill([HELLO, true, 'SIGBUS']),
  },
  'a page that is given back twice over is read again': {
    code: `import mmap
fd = os.open(file, os.O_RDONLY)
mapped, seen = mmap.mmap(fd, 13, mmap.MAP_SHARED, mmap.PROT_READ), []
for _ in range(5):
    seen.append(mapped[:].decode())
    mapped.madvise(mmap.MADV_DONTNEED)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
show(seen)`,
    expected: Array<string>(5).fill(HELLO),
  },
  'a mapping outlives its descriptor': {
    code: `import mmap
fd = os.open(file, os.O_RDONLY)
mapped = mmap.mmap(fd, 13, mmap.MAP_SHARED, mmap.PROT_READ)
os.close(fd)
show(mapped[:].decode())`,
    expected: HELLO,
  },
  'a private mapping can be written without changing the file': {
    code: `import mmap
m = mmap.mmap(os.open(file, os.O_RDONLY), 13, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
m[0:5] = b'HELLO'
show([m[:].decode(), open(file).read()])`,
    expected: ['HELLO world!\n', HELLO],
  },
  'sendfile gives the whole file to a file and to a socket, and nothing behind its end': {
    code: `import socket
fd, out, (near, far) = os.open(file, os.O_RDONLY), tempfile.TemporaryFile(), socket.socketpair()
sent = [os.sendfile(out.fileno(), fd, 0, 1000), os.sendfile(near.fileno(), fd, 6, 1000), os.sendfile(out.fileno(), fd, 13, 10)]
show([sent, os.pread(out.fileno(), 100, 0).decode(), far.recv(100).decode()])`,
    expected: [[13, 7, 0], HELLO, 'world!\n'],
  },
  'splice moves the file into a pipe, from where it was and from an offset': {
    code: `(reader, writer), fd = os.pipe(), os.open(file, os.O_RDONLY)
moved = [os.splice(fd, writer, 5), os.splice(fd, writer, 100), os.splice(fd, writer, 100), os.splice(fd, writer, 100, offset_src=6)]
show([moved, os.read(reader, 100).decode()])`,
    expected: [[5, 8, 0, 7], `${HELLO}world!\n`],
  },
  'copy_file_range to another kind of file system is EXDEV, as everywhere since Linux 5.19': {
    code: `out = tempfile.TemporaryFile()
show(value(lambda: os.copy_file_range(os.open(file, os.O_RDONLY), out.fileno(), 100)))`,
    expected: 'EXDEV',
  },
  'opening for reading works with each flag that asks for no change, also of the directory': {
    code: `names = ['RDONLY', 'NONBLOCK', 'NOFOLLOW', 'CLOEXEC', 'NOATIME', 'SYNC', 'DSYNC', 'PATH', 'DIRECT', 'NOCTTY', 'CREAT']
show([outcome(lambda: os.open(file, getattr(os, 'O_' + name))) for name in names] + [outcome(lambda: os.open(path, os.O_DIRECTORY))])`,
    expected: Array<string>(12).fill('done'),
  },
  'read of a directory is EISDIR, a directory open of the file ENOTDIR, an exclusive create of it EEXIST': {
    code: `fd = os.open(path, os.O_RDONLY)
show([outcome(lambda: os.read(fd, 1)), outcome(lambda: os.open(file, os.O_DIRECTORY)), outcome(lambda: os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR))])`,
    expected: ['EISDIR', 'ENOTDIR', 'EEXIST'],
  },
  'an O_PATH descriptor cannot be read, and can be opened anew through /proc/self/fd': {
    code: `import fcntl
fd = os.open(file, os.O_PATH | os.O_NOFOLLOW)
with open(f'/proc/self/fd/{fd}') as again:
    show([outcome(lambda: os.read(fd, 1)), outcome(lambda: fcntl.ioctl(fd, 1)), again.read()])`,
    expected: ['EBADF', 'EBADF', HELLO],
  },
  'openat2 obeys RESOLVE_BENEATH, IN_ROOT, NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV': {
    code: `def openat2(directory, name, resolve):
    how = struct.pack('QQQ', os.O_RDONLY, 0, resolve)
    return os.read(syscall(437, directory, name.encode(), how, len(how)), 5).decode()
NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT = 1, 2, 4, 8, 16
inside, outside = os.open(path, os.O_PATH), os.open(os.path.dirname(path), os.O_PATH)
tries = [(inside, 'dummy-file.txt', BENEATH), (inside, './dummy-file.txt', NO_XDEV), (inside, '/dummy-file.txt', IN_ROOT), (inside, 'dummy-file.txt', NO_SYMLINKS),
    (inside, '../x', BENEATH), (inside, '..', NO_XDEV), (outside, os.path.basename(path) + '/dummy-file.txt', NO_XDEV),
    (inside, f'/proc/self/fd/{inside}', NO_MAGICLINKS), (inside, 'nope', BENEATH)]
show([value(lambda: openat2(*one)) for one in tries])`,
    expected: ['Hello', 'Hello', 'Hello', 'Hello', 'EXDEV', 'EXDEV', 'EXDEV', 'ELOOP', 'ENOENT'],
  },
  'a working directory in the mount is told by its path, and names are found from it and from descriptors': {
    code: `os.chdir(path)
directory = os.open('.', os.O_RDONLY)
os.chdir('/')
inside = os.open('dummy-file.txt', os.O_RDONLY, dir_fd=directory)
os.fchdir(directory)
show([os.getcwd() == path, open('dummy-file.txt').read(), os.read(inside, 100).decode(), os.stat('..').st_ino == os.stat(os.path.dirname(path)).st_ino])`,
    expected: [true, HELLO, HELLO, true],
  },
  'a chroot into the mount sees the file at its root': {
    code: `os.chroot(path)
os.chdir('/')
show([open('/dummy-file.txt').read(), os.listdir('/..')])`,
    expected: [HELLO, ['dummy-file.txt']],
  },
  'closing, fsync, fdatasync, syncfs and reading ahead succeed on a descriptor that only reads': {
    code: `fd, directory = os.open(file, os.O_RDONLY), os.open(path, os.O_RDONLY)
advice = [os.POSIX_FADV_WILLNEED, os.POSIX_FADV_DONTNEED, os.POSIX_FADV_SEQUENTIAL, os.POSIX_FADV_RANDOM]
acts = [lambda: os.fsync(fd), lambda: os.fdatasync(fd), lambda: os.fsync(directory), lambda: call(libc.syncfs, fd), lambda: call(libc.readahead, fd, ctypes.c_long(0), ctypes.c_size_t(4096))]
acts += [lambda a=a: os.posix_fadvise(fd, 0, 0, a) for a in advice] + [lambda: os.close(fd), lambda: os.close(directory)]
show([outcome(act) for act in acts])`,
    expected: Array<string>(11).fill('done'),
  },
  'poll, select and epoll find the file ready at once': {
    code: `import select
fd, poll, epoll = os.open(file, os.O_RDONLY), select.poll(), select.epoll()
poll.register(fd, select.POLLIN)
epoll.register(fd, select.EPOLLIN)
show([poll.poll(0) == [(fd, select.POLLIN)], select.select([fd], [], [], 0)[0] == [fd], epoll.poll(0) == [(fd, select.EPOLLIN)]])`,
    expected: [true, true, true],
  },
  'FIONREAD tells what is left to read, and terminals and inode flags, got or set, are ENOTTY': {
    code: `import fcntl, termios
fd = os.open(file, os.O_RDONLY)
os.read(fd, 5)
GETFLAGS, SETFLAGS, GETXATTR, SETXATTR = 0x80086601, 0x40086602, 0x801c581f, 0x401c5820
left = struct.unpack('i', fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
show([left, os.isatty(fd)] + [outcome(lambda: fcntl.ioctl(fd, request, bytes(64))) for request in (termios.TCGETS, GETFLAGS, SETFLAGS, GETXATTR, SETXATTR)])`,
    expected: [8, false, ...Array<string>(5).fill('ENOTTY')],
  },
}
