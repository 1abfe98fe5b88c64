import type { Case } from './case.ts'

/** ctypes for statx(2): what it gives by name, or the errno's name. */
const STATX = `
def statx(directory, name, flags=0, mask=0xfff):
    buffer = ctypes.create_string_buffer(256)
    call(libc.statx, directory, name.encode(), flags, mask, buffer)
    names = 'mask blksize attributes nlink uid gid mode _ ino size blocks attributes_mask'
    return dict(zip(names.split(), struct.unpack_from('IIQIIIHHQQQQ', buffer.raw)))
AT_FDCWD, AT_EMPTY_PATH, FORCE_SYNC, DONT_SYNC, MOUNT_ROOT, BTIME = -100, 0x1000, 0x2000, 0x4000, 0x2000, 0x800
`

/** ctypes for name_to_handle_at(2). */
const HANDLES = `
class Handle(ctypes.Structure):
    _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]
def handle(of):
    result, mount = Handle(bytes=128), ctypes.c_int()
    call(libc.name_to_handle_at, -100, of.encode(), ctypes.byref(result), ctypes.byref(mount), 0)
    return result
`

/** What stat(2) and its kin tell, by title. */
export const ATTRIBUTES: Readonly<Record<string, Case>> = {
  'the root is a directory 0755 of root with 2 links, no blocks and the times of 1970': {
    code: `s = os.stat(path)
show([oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks, s.st_atime, s.st_mtime, s.st_ctime, s.st_ino])`,
    expected: ['0o40755', 2, 0, 0, 0, 0, 0, 0, 0, 1],
  },
  'the file is 0444 of root with inode 2, one link, 13 bytes, no blocks and the times of 1970': {
    code: `s = os.stat(file)
show([oct(s.st_mode), s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks, s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns, s.st_ino])`,
    expected: ['0o100444', 1, 0, 0, 13, 0, 0, 0, 0, 2],
  },
  'lstat, fstat and stat agree, also through an O_PATH descriptor and /proc/self/fd': {
    code: `fd, handle = os.open(file, os.O_RDONLY), os.open(file, os.O_PATH | os.O_NOFOLLOW)
stats = [os.lstat(file), os.fstat(fd), os.stat(file), os.fstat(handle), os.stat(f'/proc/self/fd/{fd}'), os.stat(f'/proc/self/fd/{handle}')]
show([len(set(map(tuple, stats))), os.readlink(f'/proc/self/fd/{fd}') == file])`,
    expected: [1, true],
  },
  'fstatat with an empty path tells of the descriptor, and without AT_EMPTY_PATH is ENOENT': {
    code: `def fstatat(fd, flags):
    buffer = ctypes.create_string_buffer(144)
    syscall(262, fd, b'', buffer, flags)
    return struct.unpack_from('QQ', buffer.raw)[1], struct.unpack_from('q', buffer.raw, 48)[0]
fds = [os.open(file, os.O_RDONLY), os.open(file, os.O_PATH), os.open(path, os.O_RDONLY), os.open(path, os.O_PATH)]
show([value(lambda: fstatat(fd, flags)) for fd in fds for flags in (0x1000, 0)])`,
    expected: [[2, 13], 'ENOENT', [2, 13], 'ENOENT', [1, 0], 'ENOENT', [1, 0], 'ENOENT'],
  },
  'statx tells the same whether it is to ask the daemon or not, knows no birth time, and sees the mount point': {
    code: `${STATX}
calls = [(AT_FDCWD, file, 0), (AT_FDCWD, file, FORCE_SYNC), (AT_FDCWD, file, DONT_SYNC), (os.open(file, os.O_PATH), '', AT_EMPTY_PATH)]
files, root = [statx(*c) for c in calls], statx(AT_FDCWD, path)
one = files[0]
show([all(f == one for f in files), oct(one['mode']), one['ino'], one['size'], one['blksize'], one['mask'] & BTIME, one['attributes'] & MOUNT_ROOT,
    oct(root['mode']), root['ino'], root['attributes'] & MOUNT_ROOT])`,
    expected: [true, '0o100444', 2, 13, 4096, 0, 0, '0o40755', 1, 0x2000],
  },
  '. is the root and .. the directory that it is mounted in': {
    code: `same = os.path.samestat
show([same(os.stat(path + '/.'), os.stat(path)), same(os.stat(path + '/..'), os.stat(os.path.dirname(path)))])`,
    expected: [true, true],
  },
  'absent names give ENOENT, names below the file ENOTDIR': {
    code: `names = ['nope', 'dummy-file.tx', 'dummy-file.txt2', 'DUMMY-FILE.TXT', 'a/b', ' ', '\\n', '\\u00e9', 'x' * 255, 'dummy-file.txt/x', 'dummy-file.txt/']
show([outcome(lambda: os.stat(path + '/' + name)) for name in names])`,
    expected: [...Array<string>(9).fill('ENOENT'), 'ENOTDIR', 'ENOTDIR'],
  },
  'names of more than the 255 bytes that statfs tells of are ENAMETOOLONG': {
    code: `show([outcome(lambda: os.stat(path + '/' + name)) for name in ('x' * 256, '\\u00e9' * 128, 'x' * 1024, 'x' * 1025, 'x' * 2000)])`,
    expected: Array<string>(5).fill('ENAMETOOLONG'),
  },
  'a name that is not UTF-8, or holds control characters, is absent too': {
    code: `names = [b'\\xff\\xfe', b'\\xc3', bytes(range(1, 47)) + b'\\x7f']
show([outcome(lambda: os.stat(path.encode() + b'/' + name)) for name in names])`,
    expected: ['ENOENT', 'ENOENT', 'ENOENT'],
  },
  'a name that was absent is looked up again, and stays absent': {
    code: `show([outcome(lambda: os.stat(path + '/nope')) for _ in range(20)])`,
    expected: Array<string>(20).fill('ENOENT'),
  },
  'access(2) grants reading, and no execution of the file': {
    code: `show([os.access(file, os.F_OK), os.access(file, os.R_OK), os.access(path, os.R_OK | os.X_OK), os.access(file, os.X_OK), os.access(path + '/nope', os.F_OK)])`,
    expected: [true, true, true, false, false],
  },
  'faccessat says so too with AT_EACCESS, with AT_SYMLINK_NOFOLLOW and from a directory descriptor': {
    code: `fd, name = os.open(path, os.O_RDONLY), 'dummy-file.txt'
ways = [{'effective_ids': True}, {'follow_symlinks': False}, {'dir_fd': fd}]
show([[os.access(name if 'dir_fd' in way else file, mode, **way) for mode in (os.F_OK, os.R_OK, os.X_OK)] for way in ways])`,
    expected: Array<boolean[]>(3).fill([true, true, false]),
  },
  'access(2) for writing is refused with EROFS': {
    code: `show([value(lambda: call(libc.access, of.encode(), os.W_OK)) for of in (file, path)])`,
    expected: ['EROFS', 'EROFS'],
  },
  'statfs tells of one block in use, two files and names of 255 bytes': {
    code: `s = os.statvfs(path)
show([s.f_bsize, s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_namemax, tuple(os.statvfs(file)) == tuple(s)])`,
    expected: [4096, 4096, 1, 0, 0, 2, 0, 255, true],
  },
  'there are no extended attributes: getting and listing them is EOPNOTSUPP': {
    code: `names = ['user.a', 'trusted.a', 'security.capability', 'security.selinux', 'nonsense']
show([value(lambda: os.getxattr(of, name)) for of in (file, path) for name in names] + [value(lambda: os.listxattr(of)) for of in (file, path)])`,
    expected: Array<string>(12).fill('ENOTSUP'),
  },
  'there are no access control lists: asking for one is ENODATA or EOPNOTSUPP': {
    code: `lists = [(of, 'system.posix_acl_' + kind) for of, kind in ((file, 'access'), (path, 'access'), (path, 'default'))]
show([value(lambda: os.getxattr(*one)) in ('ENODATA', 'ENOTSUP') for one in lists])`,
    expected: [true, true, true],
  },
  'name_to_handle_at gives a handle of type 0x81: the node id in two words, and generation 0': {
    code: `${HANDLES}
fd = os.open(file, os.O_RDONLY)
words = [(hex(h.type), h.bytes, *struct.unpack('III', bytes(h.data[:12]))) for h in map(handle, (path, file, file))]
show([words[0], [words[1][at] for at in (0, 1, 2, 4)], words[1] == words[2]])`,
    expected: [['0x81', 12, 0, 1, 0], ['0x81', 12, 0, 0], true],
  },
  'open_by_handle_at opens the file that is open already, for reading alone, and does not know a stranger: ESTALE': {
    code: `${HANDLES}
fd, directory, known = os.open(file, os.O_RDONLY), os.open(path, os.O_RDONLY), handle(file)
def opened(flags):
    return os.read(call(libc.open_by_handle_at, directory, ctypes.byref(known), flags), 100).decode()
seen = [value(lambda: opened(flags)) for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDONLY | os.O_TRUNC)]
known.data[4] = 77
show(seen + [value(lambda: opened(os.O_RDONLY))])`,
    expected: ['Hello world!\n', 'EROFS', 'EROFS', 'ESTALE'],
  },
}
