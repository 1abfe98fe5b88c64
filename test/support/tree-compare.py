"""Does the same to two directories and compares what each system call returns, and what is there in the end.

tree-compare.py cases DIR REFERENCE: a table of cases, mostly of errors.
tree-compare.py random DIR REFERENCE SEED COUNT: COUNT operations by chance, of a small set of names, so that they meet.
Prints each difference; exit status 1 if there is one."""
import ctypes, errno, hashlib, mmap, os, random, shutil, stat, sys, time

libc = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO = 1, 2, 8, 16


def outcome(act):
    try:
        return act()
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def raw(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), '')


def renameat2(old, new, flags):
    raw(libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags))


def fallocate(fd, mode, offset, length):
    raw(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def put(path, data=b'x', mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def get(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, 1 << 24, 0)
    finally:
        os.close(fd)


def with_fd(path, flags, act):
    fd = os.open(path, flags, 0o644)
    try:
        return act(fd)
    finally:
        os.close(fd)


def as_user(uid, act):
    os.setegid(uid)
    os.setgroups([uid])
    os.seteuid(uid)
    try:
        return act()
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([0])


def look(path):
    one = os.lstat(path)
    size = None if stat.S_ISDIR(one.st_mode) else one.st_size
    return (oct(one.st_mode), one.st_nlink, one.st_uid, one.st_gid, size, one.st_rdev)


def tree(top):
    """All that is below a directory, as it can be compared."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            value = look(path)
            if stat.S_ISREG(os.lstat(path).st_mode):
                value += (hashlib.sha256(get(path)).hexdigest(),)
            if stat.S_ISLNK(os.lstat(path).st_mode):
                value += (os.readlink(path),)
            found[os.path.relpath(path, top)] = value
    return found


def do(*acts):
    """The outcomes of several acts."""
    return [outcome(act) for act in acts]


def times(path):
    one = os.stat(path)
    return one.st_atime_ns, one.st_mtime_ns


def moved(path, act):
    """Which of a path's times an act moves."""
    os.utime(path, ns=(10**18, 10**18))
    before = os.lstat(path)
    # A file system's clock has ticks of some milliseconds.
    time.sleep(0.02)
    outcome(act)
    after = os.lstat(path)
    return before.st_mtime_ns != after.st_mtime_ns, before.st_ctime_ns != after.st_ctime_ns


def unlinked(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.unlink(path)
    os.write(fd, b'abc' * 4000)
    results = [os.fstat(fd).st_nlink, os.pread(fd, 6, 9000), outcome(lambda: os.stat(path)), outcome(lambda: os.ftruncate(fd, 3)), os.pread(fd, 9, 0)]
    os.close(fd)
    return results


def mapped(path):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 10000)
    with mmap.mmap(fd, 10000) as view:
        view[4090:4102] = b'across pages'
        view.flush()
    os.close(fd)
    return hashlib.sha256(get(path)).hexdigest(), os.stat(path).st_size


def readdir_while_changing(folder):
    os.mkdir(folder)
    for number in range(600):
        put(f'{folder}/stays-{number}')
    seen = []
    with os.scandir(folder) as entries:
        for index, entry in enumerate(entries):
            seen.append(entry.name)
            put(f'{folder}/new-{index}')
            if index % 2 == 1:
                os.unlink(f'{folder}/new-{index - 1}')
            if index > 5000:
                break
    stays = [name for name in seen if name.startswith('stays-')]
    shutil.rmtree(folder)
    return len(stays), len(set(stays)), len(seen) == len(set(seen))


def removed_cwd(folder):
    os.mkdir(folder)
    back = os.open('.', os.O_RDONLY)
    os.chdir(folder)
    os.rmdir(f'../{folder}')
    results = do(lambda: put('a'), lambda: os.mkdir('b'), lambda: os.listdir('.'), lambda: os.stat('.').st_nlink, lambda: os.symlink('x', 'y'))
    os.fchdir(back)
    os.close(back)
    return results


def append_twice(path):
    one, two = (os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
    for index in range(50):
        os.write(one if index % 2 else two, b'%02d,' % index)
    os.close(one), os.close(two)
    return get(path)


def setgid(folder):
    os.mkdir(folder)
    os.chown(folder, 0, 7)
    os.chmod(folder, 0o2775)
    put(f'{folder}/file')
    os.mkdir(f'{folder}/sub')
    return look(f'{folder}/file'), look(f'{folder}/sub')


def suid_cleared(path):
    put(path)
    os.chown(path, 1000, 1000)
    os.chmod(path, 0o6755)
    as_user(1000, lambda: with_fd(path, os.O_WRONLY, lambda fd: os.write(fd, b'more')))
    written = look(path)
    os.chmod(path, 0o6755)
    os.chown(path, 1001, 1001)
    return written, look(path)


def sticky(folder):
    os.mkdir(folder)
    os.chmod(folder, 0o1777)
    as_user(1000, lambda: put(f'{folder}/mine'))
    return do(lambda: as_user(1001, lambda: os.unlink(f'{folder}/mine')), lambda: as_user(1000, lambda: os.unlink(f'{folder}/mine')))


LONG = 'n' * 255
CASES = {
    'mkdir': lambda: do(lambda: os.mkdir('d', 0o750), lambda: os.mkdir('d'), lambda: os.mkdir('none/d'), lambda: look('d'), lambda: os.mkdir('d/e'), lambda: look('d')),
    'mkdir below a file': lambda: do(lambda: put('f'), lambda: os.mkdir('f/d')),
    'rmdir': lambda: do(lambda: os.makedirs('d/e'), lambda: os.rmdir('d'), lambda: os.rmdir('d/e'), lambda: os.rmdir('d'), lambda: os.rmdir('d'), lambda: put('f'), lambda: os.rmdir('f'), lambda: os.rmdir('.')),
    'a name of 255 bytes, and of one more': lambda: do(lambda: put(LONG), lambda: put(LONG + 'n'), lambda: os.mkdir(LONG + 'n'), lambda: os.stat(LONG + 'n'), lambda: os.rename(LONG, LONG + 'n'), lambda: os.symlink('x', LONG + 'n'), lambda: os.listdir('.')),
    'names of several languages': lambda: do(lambda: put('漢字-ä-🙂'), lambda: get('漢字-ä-🙂'), lambda: sorted(os.listdir('.'))),
    'O_EXCL': lambda: do(lambda: put('f'), lambda: os.open('f', os.O_CREAT | os.O_EXCL), lambda: os.symlink('nowhere', 's'), lambda: os.open('s', os.O_CREAT | os.O_EXCL)),
    'open of what is not there, and of a directory': lambda: do(lambda: os.open('none', os.O_RDONLY), lambda: os.mkdir('d'), lambda: os.open('d', os.O_WRONLY), lambda: os.open('d', os.O_CREAT | os.O_RDONLY), lambda: os.listdir('none')),
    'O_TRUNC': lambda: do(lambda: put('f', b'long content'), lambda: put('f', b'c'), lambda: get('f')),
    'create through a dangling link': lambda: do(lambda: os.symlink('target', 's'), lambda: put('s', b'through'), lambda: get('target'), lambda: look('s')),
    'append from two descriptors': lambda: append_twice('f'),
    'a hole reads as zeros': lambda: do(lambda: with_fd('f', os.O_RDWR | os.O_CREAT, lambda fd: os.pwrite(fd, b'end', 100_000)), lambda: hashlib.sha256(get('f')).hexdigest(), lambda: os.stat('f').st_size),
    'a write far behind the end takes no memory before it': lambda: do(lambda: with_fd('f', os.O_RDWR | os.O_CREAT, lambda fd: os.pwrite(fd, b'end', 1 << 40)), lambda: os.stat('f').st_size, lambda: os.stat('f').st_blocks),
    'truncate': lambda: do(lambda: put('f', b'0123456789' * 1000), lambda: os.truncate('f', 5001), lambda: os.truncate('f', 9000), lambda: hashlib.sha256(get('f')).hexdigest(), lambda: os.truncate('f', 0), lambda: look('f'), lambda: os.truncate('none', 0), lambda: os.mkdir('d'), lambda: os.truncate('d', 0), lambda: os.stat('f').st_blocks),
    'fallocate': lambda: with_fd('f', os.O_RDWR | os.O_CREAT, lambda fd: do(lambda: fallocate(fd, 0, 0, 10_000), lambda: os.fstat(fd).st_size, lambda: os.fstat(fd).st_blocks, lambda: fallocate(fd, KEEP_SIZE, 0, 20_000), lambda: os.fstat(fd).st_size, lambda: fallocate(fd, 0, 0, 0), lambda: fallocate(fd, COLLAPSE, 0, 4096), lambda: fallocate(fd, PUNCH_HOLE, 0, 4096))),
    'fallocate punches a hole': lambda: with_fd('f', os.O_RDWR | os.O_CREAT, lambda fd: do(lambda: os.pwrite(fd, b'y' * 20_000, 0), lambda: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 3000, 10_000), lambda: hashlib.sha256(os.pread(fd, 30_000, 0)).hexdigest(), lambda: os.fstat(fd).st_blocks, lambda: os.fstat(fd).st_size)),
    'chmod': lambda: do(lambda: put('f'), lambda: os.chmod('f', 0o4751), lambda: look('f'), lambda: os.chmod('none', 0), lambda: os.mkdir('d'), lambda: os.chmod('d', 0o1777), lambda: look('d')),
    'chown': lambda: do(lambda: put('f'), lambda: os.chown('f', 5, 6), lambda: look('f'), lambda: os.chown('f', -1, 7), lambda: look('f'), lambda: os.symlink('f', 's'), lambda: os.lchown('s', 8, 9), lambda: look('s'), lambda: look('f')),
    'times to the nanosecond, before 1970 too': lambda: do(lambda: put('f'), lambda: os.utime('f', ns=(1_700_000_000_123_456_789, 987_654_321)), lambda: times('f'), lambda: os.utime('f', ns=(-5, -1_500_000_001)), lambda: times('f')),
    'which times a change moves': lambda: do(lambda: put('f'), lambda: moved('f', lambda: with_fd('f', os.O_WRONLY, lambda fd: os.write(fd, b'x'))), lambda: moved('f', lambda: os.chmod('f', 0o600)), lambda: moved('f', lambda: os.truncate('f', 0)), lambda: moved('f', lambda: os.link('f', 'g')), lambda: moved('f', lambda: get('f')), lambda: os.mkdir('d'), lambda: moved('d', lambda: put('d/f')), lambda: moved('d', lambda: os.unlink('d/f')), lambda: moved('d', lambda: os.rename('f', 'd/f')), lambda: moved('d', lambda: os.chmod('d/f', 0o600))),
    'link': lambda: do(lambda: put('f'), lambda: os.link('f', 'g'), lambda: look('f'), lambda: os.stat('f').st_ino == os.stat('g').st_ino, lambda: os.link('f', 'g'), lambda: os.link('none', 'h'), lambda: os.mkdir('d'), lambda: os.link('d', 'h'), lambda: os.unlink('f'), lambda: look('g'), lambda: put('g', b'new'), lambda: get('g')),
    'symlink': lambda: do(lambda: os.symlink('a/b', 's'), lambda: os.readlink('s'), lambda: look('s'), lambda: os.symlink('x', 's'), lambda: os.stat('s'), lambda: os.symlink('s2', 's2'), lambda: get('s2'), lambda: put('f'), lambda: os.readlink('f'), lambda: os.symlink('', 'e'), lambda: os.symlink('t' * 4095, 'l'), lambda: os.readlink('l') == 't' * 4095, lambda: os.symlink('t' * 4096, 'm')),
    'fifo, socket and device': lambda: do(lambda: os.mkfifo('p', 0o600), lambda: look('p'), lambda: os.mknod('s', stat.S_IFSOCK | 0o600), lambda: look('s'), lambda: os.mknod('c', stat.S_IFCHR | 0o600, os.makedev(1, 3)), lambda: look('c'), lambda: os.unlink('p')),
    'unlink': lambda: do(lambda: os.unlink('none'), lambda: put('f'), lambda: os.unlink('f'), lambda: os.stat('f'), lambda: os.mkdir('d'), lambda: os.unlink('d')),
    'unlink while open': lambda: unlinked('f'),
    'a memory map is written': lambda: mapped('f'),
    'rename': lambda: do(lambda: put('f', b'1'), lambda: os.rename('f', 'g'), lambda: os.stat('f'), lambda: get('g'), lambda: put('h', b'2'), lambda: os.rename('h', 'g'), lambda: get('g'), lambda: os.rename('none', 'x'), lambda: os.rename('g', 'none/x'), lambda: os.rename('g', 'g')),
    'rename of directories': lambda: do(lambda: os.makedirs('a/b'), lambda: os.mkdir('c'), lambda: os.rename('a', 'a/b/x'), lambda: os.rename('a', 'c'), lambda: os.listdir('c'), lambda: os.mkdir('e'), lambda: os.rename('e', 'c'), lambda: put('f'), lambda: os.rename('f', 'c'), lambda: os.rename('c', 'f'), lambda: look('c'), lambda: look('.'), lambda: os.mkdir('g'), lambda: os.rename('c/b', 'g/b'), lambda: look('c'), lambda: look('g'), lambda: os.listdir('g/b/..')),
    'rename of two names of one file': lambda: do(lambda: put('f'), lambda: os.link('f', 'g'), lambda: os.rename('f', 'g'), lambda: sorted(os.listdir('.')), lambda: look('f')),
    'rename without replacing': lambda: do(lambda: put('f'), lambda: put('g'), lambda: renameat2('f', 'g', NOREPLACE), lambda: renameat2('f', 'h', NOREPLACE), lambda: sorted(os.listdir('.'))),
    'rename exchanges': lambda: do(lambda: put('f', b'1'), lambda: os.makedirs('d/e'), lambda: renameat2('f', 'd', EXCHANGE), lambda: get('d'), lambda: os.listdir('f'), lambda: look('.'), lambda: renameat2('f', 'none', EXCHANGE), lambda: renameat2('f', 'f/e', EXCHANGE), lambda: renameat2('d', 'f/e', EXCHANGE), lambda: look('f'), lambda: look('.'), lambda: renameat2('d', 'f', EXCHANGE | NOREPLACE)),
    'rename over what is open': lambda: do(lambda: put('f', b'old'), lambda: with_fd('f', os.O_RDONLY, lambda fd: [put('g', b'new'), os.rename('g', 'f'), os.pread(fd, 9, 0), os.fstat(fd).st_nlink]), lambda: get('f')),
    'readdir while the directory changes': lambda: readdir_while_changing('d'),
    'a removed working directory': lambda: removed_cwd('d'),
    'fsync': lambda: with_fd('f', os.O_RDWR | os.O_CREAT, lambda fd: do(lambda: os.write(fd, b'x'), lambda: os.fsync(fd), lambda: os.fdatasync(fd))),
    'set-group-ID of a directory': lambda: setgid('d'),
    'set-user-ID is cleared by a write and a chown': lambda: suid_cleared('f'),
    'the sticky bit': lambda: sticky('d'),
    'permissions of another user': lambda: do(lambda: os.mkdir('d', 0o755), lambda: put('d/f', b'secret', 0o600), lambda: as_user(1000, lambda: get('d/f')), lambda: as_user(1000, lambda: put('d/g')), lambda: as_user(1000, lambda: os.unlink('d/f')), lambda: as_user(1000, lambda: os.chmod('d/f', 0o666)), lambda: as_user(1000, lambda: os.chown('d/f', 1000, 1000)), lambda: as_user(1000, lambda: os.utime('d/f')), lambda: os.chmod('d', 0o777), lambda: as_user(1000, lambda: put('d/g')), lambda: look('d/g'), lambda: as_user(1001, lambda: os.rename('d/g', 'd/h')), lambda: as_user(1000, lambda: os.chown('d/h', 1001, 1001))),
    'umask': lambda: [os.umask(0o027), put('f', b'', 0o666), os.mkdir('d'), os.umask(0o022), look('f'), look('d')],
    'a copy in the kernel': lambda: do(lambda: put('f', b'0123456789' * 5000), lambda: with_fd('f', os.O_RDONLY, lambda one: with_fd('g', os.O_WRONLY | os.O_CREAT, lambda two: os.copy_file_range(one, two, 50_000))), lambda: get('g') == get('f')),
    'seek to data and holes stays within the file': lambda: with_fd('f', os.O_RDWR | os.O_CREAT, lambda fd: do(lambda: os.write(fd, b'data'), lambda: os.lseek(fd, 0, os.SEEK_DATA), lambda: os.lseek(fd, 0, os.SEEK_HOLE), lambda: os.lseek(fd, 9, os.SEEK_DATA))),
}


def in_each(tops, act):
    results = []
    for top in tops:
        os.chdir(top)
        results.append(outcome(act))
    os.chdir('/')
    return results


def cases(tops):
    wrong = 0
    os.umask(0o022)
    for title, act in CASES.items():
        for top in tops:
            os.mkdir(f'{top}/case')
            os.chmod(f'{top}/case', 0o755)
        places = [f'{top}/case' for top in tops]
        results = in_each(places, act)
        trees = [tree(place) for place in places]
        if results[0] != results[1] or trees[0] != trees[1]:
            wrong += 1
            print(f'{title}:\n  {results[0]}\n  {results[1]}\n  {str(sorted(set(trees[0].items()) ^ set(trees[1].items())))[:2000]}')
        for place in places:
            shutil.rmtree(place)
    print(f'{len(CASES)} cases, {wrong} differ')
    return wrong


def random_operation(rng):
    names = ['a', 'b', 'c', 'd']
    def path():
        return '/'.join(rng.choice(names) for _ in range(rng.choice([1, 1, 2, 3])))
    one, two = path(), path()
    offset, length, mode = rng.randrange(0, 30_000), rng.randrange(1, 20_000), rng.choice([0o644, 0o755, 0o600])
    data = bytes([rng.randrange(256)]) * length
    def kept(fd, act):
        act(fd)
        return os.fstat(fd).st_size
    return rng.choice([
        (f'mkdir {one}', lambda: os.mkdir(one)), (f'mkdir {one}', lambda: os.mkdir(one)),
        (f'rmdir {one}', lambda: os.rmdir(one)), (f'unlink {one}', lambda: os.unlink(one)),
        (f'put {one}', lambda: put(one, data, mode)), (f'put {one}', lambda: put(one, data, mode)),
        (f'pwrite {one} {offset} {length}', lambda: with_fd(one, os.O_RDWR, lambda fd: os.pwrite(fd, data, offset))),
        (f'pread {one} {offset} {length}', lambda: with_fd(one, os.O_RDONLY, lambda fd: os.pread(fd, length, offset))),
        (f'append {one}', lambda: with_fd(one, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, data[:100]))),
        (f'truncate {one} {offset}', lambda: os.truncate(one, offset)),
        (f'allocate {one} {offset} {length}', lambda: with_fd(one, os.O_RDWR, lambda fd: kept(fd, lambda fd: fallocate(fd, 0, offset, length)))),
        (f'punch {one} {offset} {length}', lambda: with_fd(one, os.O_RDWR, lambda fd: kept(fd, lambda fd: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length)))),
        (f'map {one} {offset} {length}', lambda: with_fd(one, os.O_RDWR, lambda fd: mapped_write(fd, offset, data))),
        (f'rename {one} {two}', lambda: os.rename(one, two)), (f'rename {one} {two}', lambda: os.rename(one, two)),
        (f'exchange {one} {two}', lambda: renameat2(one, two, EXCHANGE)),
        (f'noreplace {one} {two}', lambda: renameat2(one, two, NOREPLACE)),
        (f'link {one} {two}', lambda: os.link(one, two)), (f'symlink {one} {two}', lambda: os.symlink(one, two)),
        (f'chmod {one}', lambda: os.chmod(one, mode)), (f'chown {one}', lambda: os.chown(one, offset, length)),
        (f'utime {one}', lambda: [os.utime(one, ns=(offset, length)), times(one)[1]]),
        (f'list {one}', lambda: sorted(os.listdir(one))), (f'look {one}', lambda: look(one)),
    ])


def mapped_write(fd, offset, data):
    size = os.fstat(fd).st_size
    end = min(size, offset + len(data))
    if end <= offset:
        return 'nothing'
    with mmap.mmap(fd, size) as view:
        view[offset:end] = data[: end - offset]
        view.flush()
    return end


def randomly(tops, seed, count):
    rng = random.Random(seed)
    log = []
    for index in range(count):
        title, act = random_operation(rng)
        log.append(title)
        results = in_each(tops, act)
        same = results[0] == results[1]
        if same and (index % 100 == 99 or index == count - 1):
            trees = [tree(top) for top in tops]
            same, results = trees[0] == trees[1], [sorted(set(trees[0].items()) ^ set(trees[1].items()))]
        if not same:
            print(f'seed {seed}, operation {index}: {title}: {str(results)[:2000]}\nbefore: {log[-12:]}')
            return 1
    print(f'{count} operations, seed {seed}')
    return 0


what, mine, reference, *rest = sys.argv[1:]
sys.exit(min(1, cases([mine, reference]) if what == 'cases' else randomly([mine, reference], *map(int, rest))))
