import { type Case, HELLO } from './case.ts'

/** ctypes for inotify(7): told() gives each event since the last call, as 'watch event name'. */
const INOTIFY = `
EVENTS = ['access', 'modify', 'attrib', 'close_write', 'close', 'open', 'moved_from', 'moved_to', 'create', 'delete', 'delete_self', 'move_self', '', 'unmount', '', 'ignored']
watcher = call(libc.inotify_init1, os.O_NONBLOCK)
watches = {call(libc.inotify_add_watch, watcher, of.encode(), 0xfff): name for name, of in (('root', path), ('file', file))}
def told():
    try:
        data = os.read(watcher, 1 << 16)
    except BlockingIOError:
        return []
    at, events = 0, []
    while at < len(data):
        watch, mask, cookie, length = struct.unpack_from('iIII', data, at)
        name = data[at + 16:at + 16 + length].rstrip(b'\\0').decode()
        events.append(' '.join([watches[watch]] + [event for bit, event in enumerate(EVENTS) if mask & 1 << bit] + ([name] if name else [])))
        at += 16 + length
    return events
def another(act):
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
`

/** Runs work() in `count` processes that begin together, and shows how many of them it was right in. */
function processes(count: number): string {
  return `
reader, writer = os.pipe()
children = []
for number in range(${count}):
    child = os.fork()
    if child == 0:
        right = False
        try:
            os.close(writer)
            os.read(reader, 1)
            right = work()
        finally:
            os._exit(0 if right else 1)
    children.append(child)
os.close(reader)
os.close(writer)
show(sum(os.waitpid(child, 0)[1] == 0 for child in children))`
}

/** What several processes see of each other, by title. */
export const SHARING: Readonly<Record<string, Case>> = {
  'sixty-four processes that stat, list, look for absent names and read at once all see what is right': {
    code: `def work():
    for turn in range(10):
        fd = os.open(file, os.O_DIRECT if turn % 2 else os.O_RDONLY)
        right = os.pread(fd, 100, 0) == b'Hello world!\\n' and os.pread(fd, 5, 6) == b'world' and os.fstat(fd).st_size == 13
        right = right and os.listdir(path) == ['dummy-file.txt'] and outcome(lambda: os.stat(path + '/nope')) == 'ENOENT'
        os.close(fd)
        if not right:
            return False
    return True
${processes(64)}`,
    expected: 64,
  },
  'sixteen processes share one descriptor and one place in the file': {
    code: `fd, (results, shared) = os.open(file, os.O_RDONLY), os.pipe()
def work():
    while piece := os.read(fd, 1):
        os.write(shared, piece)
    return True
${processes(16)}
assert sorted(os.read(results, 100)) == sorted(b'Hello world!\\n')`,
    expected: 16,
  },
  'eight threads of one process all read the right bytes': {
    code: `import concurrent.futures
def reader(_):
    fd, wrong = os.open(file, os.O_RDONLY | os.O_DIRECT), 0
    for _ in range(50):
        wrong += os.pread(fd, 4096, 0) != b'Hello world!\\n' or len(os.listdir(path)) != 1
    os.close(fd)
    return wrong
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    show(sum(pool.map(reader, range(8))))`,
    expected: 0,
  },
  'a lock of one process keeps another from a lock that conflicts, of the file and of the directory': {
    code: `import fcntl
def in_another(act):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, outcome(act).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(reader, 100).decode()
def again(of, lock):
    return in_another(lambda: fcntl.flock(os.open(of, os.O_RDONLY), lock | fcntl.LOCK_NB))
seen = []
for of in (file, path):
    fd = os.open(of, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    seen.append([again(of, fcntl.LOCK_SH)])
    fcntl.flock(fd, fcntl.LOCK_SH)
    seen[-1] += [again(of, fcntl.LOCK_SH), again(of, fcntl.LOCK_EX)]
    os.close(fd)
    seen[-1] += [again(of, fcntl.LOCK_EX)]
show(seen)`,
    expected: Array<string[]>(2).fill(['EAGAIN', 'done', 'EAGAIN', 'done']),
  },
  'a record lock for reading is given and one for writing is EBADF on a descriptor that reads': {
    code: `import fcntl
fd = os.open(file, os.O_RDONLY)
F_OFD_SETLK, lock = 37, lambda kind: struct.pack('hhqqi4x', kind, 0, 0, 5, 0)
show([outcome(act) for act in (lambda: fcntl.lockf(fd, fcntl.LOCK_SH), lambda: fcntl.lockf(fd, fcntl.LOCK_EX), lambda: fcntl.lockf(fd, fcntl.LOCK_UN),
    lambda: fcntl.fcntl(fd, F_OFD_SETLK, lock(fcntl.F_RDLCK)), lambda: fcntl.fcntl(fd, F_OFD_SETLK, lock(fcntl.F_WRLCK)))])`,
    expected: ['done', 'EBADF', 'done', 'done', 'EBADF'],
  },
  'inotify sees a reader of another process open, access and close the file, and nothing else': {
    code: `${INOTIFY}
def reader():
    fd = os.open(file, os.O_RDONLY)
    assert os.read(fd, 100) == b'Hello world!\\n'
    os.close(fd)
another(reader)
show(told())`,
    expected: [
      'root open dummy-file.txt',
      'file open',
      'root access dummy-file.txt',
      'file access',
      'root close dummy-file.txt',
      'file close',
    ],
  },
  'inotify sees the directory being listed': {
    code: `${INOTIFY}
another(lambda: os.listdir(path))
show(told())`,
    expected: ['root open', 'root access', 'root close'],
  },
  'inotify sees nothing of stat, access, statfs and absent names, nor of changes that are refused': {
    code: `${INOTIFY}
changes = [lambda: os.open(file, os.O_WRONLY), lambda: os.unlink(file), lambda: os.chmod(file, 0), lambda: os.mkdir(path + '/new'),
    lambda: os.rename(file, path + '/new'), lambda: os.truncate(file, 0), lambda: os.utime(file)]
def looks():
    os.stat(file), os.access(file, os.R_OK), os.statvfs(file), outcome(lambda: os.stat(path + '/nope'))
    assert {outcome(change) for change in changes} == {'EROFS'}
another(looks)
show(told())`,
    expected: [],
  },
}

/** What those see who look on while it is unmounted; each on a mount of its own. */
export const UNMOUNTING: Readonly<Record<string, Case>> = {
  'inotify tells of the unmount, and that nothing more will come': {
    code: `${INOTIFY}
call(libc.umount2, path.encode(), 0)
show(sorted(told()))`,
    expected: ['file ignored', 'file unmount', 'root ignored', 'root unmount'],
  },
  'an unmount is EBUSY while the file is open': {
    code: `fd = os.open(file, os.O_RDONLY)
show([outcome(lambda: call(libc.umount2, path.encode(), 0)), os.read(fd, 100).decode()])`,
    expected: ['EBUSY', HELLO],
  },
  'what is open goes on being served after a lazy unmount, and the directory below is free': {
    code: `import mmap
fd, directory = os.open(file, os.O_RDONLY | os.O_DIRECT), os.open(path, os.O_RDONLY)
mapped = mmap.mmap(fd, 13, mmap.MAP_SHARED, mmap.PROT_READ)
MNT_DETACH = 2
call(libc.umount2, path.encode(), MNT_DETACH)
inside = os.open('dummy-file.txt', os.O_RDONLY, dir_fd=directory)
show([os.listdir(path), os.pread(fd, 100, 0).decode(), os.listdir(directory), os.read(inside, 100).decode(), mapped[:].decode()])`,
    expected: [[], HELLO, ['dummy-file.txt'], HELLO, HELLO],
  },
}
