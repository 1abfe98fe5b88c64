# A writer in a mounted directory, whose daemon is killed meanwhile. Argument: the directory, which is empty. It makes, changes, moves and removes files and
# directories, each of which must succeed exactly once, and appends to files that it holds open. For each line of its input it tells how far it has come.
# When its input ends, it prints `expected` and the names and contents that the directory has to have, as JSON, or what went wrong.
import hashlib, json, os, sys, threading

root = sys.argv[1]
expected = {}
turn = 0
problem = None
ending = False

def put(name, data):
    expected[name] = hashlib.sha256(data).hexdigest()

def taken(name, take):
    # A file that is held and loses its name.
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    data = os.urandom(20000)
    assert os.write(fd, data) == len(data)
    take(name)
    assert os.pwrite(fd, b'changed', 100) == 7
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(fd, 30000, 0) == data[:100] + b'changed' + data[107:]
    os.close(fd)

def once():
    global turn
    here = '%s/%d' % (root, turn)
    os.mkdir(here)
    fd = os.open(here + '/made', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    data = os.urandom(70000)
    assert os.write(fd, data) == len(data)
    os.rename(here + '/made', here + '/moved')
    os.link(here + '/moved', here + '/linked')
    os.ftruncate(fd, 50000)
    os.pwrite(fd, b'in the middle', 1000)
    data = (data[:1000] + b'in the middle' + data[1013:])[:50000]
    assert os.pread(fd, 60000, 0) == data
    os.close(fd)
    os.symlink('moved', here + '/symlink')
    assert os.readlink(here + '/symlink') == 'moved'
    os.chmod(here + '/moved', 0o640)
    open(here + '/short-lived', 'w').close()
    os.unlink(here + '/short-lived')
    open(here + '/short-lived', 'w').close()
    taken(here + '/unlinked', os.unlink)
    taken(here + '/replaced', lambda name: os.rename(here + '/short-lived', name))
    os.mkdir(here + '/empty')
    os.rmdir(here + '/empty')
    os.rename(here, here + '-kept')
    assert open(here + '-kept/symlink', 'rb').read() == data
    for name in ('moved', 'linked', 'symlink'):
        put('%d-kept/%s' % (turn, name), data)
    put('%d-kept/replaced' % turn, b'')
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
