import type { Case } from './case.ts'

/** ctypes for getdents64(2): [name, inode, offset, type] of each entry that fits into a buffer of `size` bytes. */
const ENTRIES = `
def entries(fd, size):
    buffer = ctypes.create_string_buffer(size)
    length, at, found = syscall(217, fd, buffer, size), 0, []
    while at < length:
        inode, offset, record, kind = struct.unpack_from('<QqHB', buffer.raw, at)
        found.append([buffer.raw[at + 19:at + record].split(b'\\0')[0].decode(), inode, offset, kind])
        at += record
    return found
def names(fd, size):
    return [entry[0] for entry in entries(fd, size)]
fd = os.open(path, os.O_RDONLY)
`

/** What readdir(3) and its kin give, by title. */
export const DIRECTORIES: Readonly<Record<string, Case>> = {
  'readdir lists the file alone, again after a rewind, with its inode and type': {
    code: `fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
with os.scandir(path) as entries:
    typed = [[e.name, e.is_file(follow_symlinks=False), e.inode() == os.stat(file).st_ino] for e in entries]
show([os.listdir(fd), os.listdir(fd), typed])`,
    expected: [['dummy-file.txt'], ['dummy-file.txt'], [['dummy-file.txt', true, true]]],
  },
  'getdents64 gives ., .. and the file with inode and type, and then nothing': {
    code: `${ENTRIES}
show([[[name, inode, kind] for name, inode, offset, kind in entries(fd, 4096)], entries(fd, 4096), entries(fd, 4096)])`,
    expected: [
      [
        ['.', 1, 4],
        ['..', 1, 4],
        ['dummy-file.txt', 2, 8],
      ],
      [],
      [],
    ],
  },
  'a buffer that holds one entry is given one after the other, and one too small for the next is EINVAL': {
    code: `${ENTRIES}
show([value(lambda: names(fd, size)) for size in (24, 24, 24, 39, 40, 40)])`,
    expected: [['.'], ['..'], 'EINVAL', 'EINVAL', ['dummy-file.txt'], []],
  },
  'seeking to an offset that was given goes on behind its entry, forwards and backwards': {
    code: `${ENTRIES}
offsets = [entry[2] for entry in entries(fd, 4096)]
def after(offset):
    os.lseek(fd, offset, os.SEEK_SET)
    return names(fd, 4096)
show([len(set(offsets)), [after(offset) for offset in offsets], [after(offset) for offset in reversed(offsets)], after(0)])`,
    expected: [
      3,
      [['..', 'dummy-file.txt'], ['dummy-file.txt'], []],
      [[], ['dummy-file.txt'], ['..', 'dummy-file.txt']],
      ['.', '..', 'dummy-file.txt'],
    ],
  },
  'telldir, seekdir and rewinddir lead back to where they were': {
    code: `libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
stream = ctypes.c_void_p(libc.opendir(path.encode()))
def name():
    entry = libc.readdir(stream)
    return entry and ctypes.string_at(entry + 19).decode()
seen, first = [name()], libc.telldir(stream)
seen += [name(), name(), name()]
libc.seekdir(stream, ctypes.c_long(first))
seen += [name(), name(), name()]
libc.rewinddir(stream)
seen += [name()]
show(seen)`,
    expected: ['.', '..', 'dummy-file.txt', null, '..', 'dummy-file.txt', null, '.'],
  },
  'two descriptors of the directory keep places of their own': {
    code: `${ENTRIES}
other = os.open(path, os.O_RDONLY)
show([names(fd, 24), names(other, 4096), names(fd, 4096), names(other, 4096)])`,
    expected: [['.'], ['.', '..', 'dummy-file.txt'], ['..', 'dummy-file.txt'], []],
  },
  'reading the file as a directory is ENOTDIR': {
    code: `${ENTRIES}
show([value(lambda: names(os.open(file, os.O_RDONLY), 4096)), outcome(lambda: os.listdir(file))])`,
    expected: ['ENOTDIR', 'ENOTDIR'],
  },
}
