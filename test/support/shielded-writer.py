# A writer in a mounted directory, whose daemon is killed meanwhile. Arguments: the directory, which is empty, and a seed, from which contents, lengths and the
# order of the changes come. It makes, changes, moves and removes files and directories, each of which must succeed exactly once, and appends to a file that it
# holds open. For each line of its input it tells how far it has come. When its input ends, it prints `expected` and the names and contents that the directory
# has to have, as JSON, or what went wrong.
import errno, hashlib, json, os, random, sys, threading

root = sys.argv[1]
choice = random.Random(int(sys.argv[2]))
expected = {}
turn = 0
problem = None
ending = False

def put(name, data):
    expected[name] = hashlib.sha256(data).hexdigest()

def refused(number, act):
    try:
        act()
    except OSError as error:
        assert error.errno == number, error
    else:
        raise AssertionError('%s was to be refused' % errno.errorcode[number])

def create(name):
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

def taken(name, take):
    # A file that is held and loses its name.
    fd = create(name)
    data = choice.randbytes(choice.randint(200, 20000))
    assert os.write(fd, data) == len(data)
    take(name)
    assert os.pwrite(fd, b'changed', 100) == 7
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(fd, 30000, 0) == data[:100] + b'changed' + data[107:]
    os.close(fd)

def changed_file(here):
    fd = create(here + '/made')
    data = choice.randbytes(choice.randint(1, 100000))
    assert os.write(fd, data) == len(data)
    refused(errno.EEXIST, lambda: create(here + '/made'))
    os.rename(here + '/made', here + '/moved')
    os.link(here + '/moved', here + '/linked')
    length = choice.randint(0, len(data))
    os.ftruncate(fd, length)
    at = choice.randint(0, length)
    os.pwrite(fd, b'in the middle', at)
    data = data[:at] + b'in the middle' + data[at + 13:length]
    assert os.pread(fd, len(data) + 1, 0) == data
    os.close(fd)
    os.symlink('moved', here + '/symlink')
    assert os.readlink(here + '/symlink') == 'moved'
    os.chmod(here + '/moved', 0o640)
    for name in ('moved', 'linked', 'symlink'):
        put('%d-kept/%s' % (turn, name), data)

def taken_names(here):
    short = here + '/short-lived'
    os.close(create(short))
    os.unlink(short)
    refused(errno.ENOENT, lambda: os.unlink(short))
    os.close(create(short))
    taken(here + '/unlinked', os.unlink)
    taken(here + '/replaced', lambda name: os.rename(short, name))
    put('%d-kept/replaced' % turn, b'')

def folders(here):
    os.mkdir(here + '/empty')
    refused(errno.EEXIST, lambda: os.mkdir(here + '/empty'))
    assert os.listdir(here + '/empty') == []
    os.rmdir(here + '/empty')

def once():
    global turn
    here = '%s/%d' % (root, turn)
    os.mkdir(here)
    steps = [changed_file, taken_names, folders]
    choice.shuffle(steps)
    for step in steps:
        step(here)
    refused(errno.ENOTEMPTY, lambda: os.rmdir(here))
    os.rename(here, here + '-kept')
    assert sorted(os.listdir(here + '-kept')) == ['linked', 'moved', 'replaced', 'symlink']
    with open(here + '-kept/symlink', 'rb') as file:
        assert hashlib.sha256(file.read()).hexdigest() == expected['%d-kept/moved' % turn]
    turn += 1

def append():
    data = b''
    fd = os.open(root + '/appended', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while not ending and problem is None:
        line = b'%d\n' % len(data)
        assert os.write(fd, line) == len(line)
        data += line
    os.fsync(fd)
    os.close(fd)
    put('appended', data)

def act(what):
    global problem
    try:
        what()
    except BaseException as error:
        problem = problem or '%s: %s' % (type(error).__name__, error)

def change():
    while not ending and problem is None:
        once()

threads = [threading.Thread(target=act, args=[what]) for what in (append, change)]
for thread in threads:
    thread.start()
for line in sys.stdin:
    print(problem or turn, flush=True)
ending = True
for thread in threads:
    thread.join()
print(problem or 'expected %s' % json.dumps(expected), flush=True)
