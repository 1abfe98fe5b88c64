# A reader of a mounted directory, whose daemon is killed while it reads. Argument: the directory, which holds what shield.ts of this folder puts there.
# It holds a descriptor, a memory map, a working directory and a directory that it has begun to list, and a thread of it reads and lists without a pause.
# For each line of its input it lists the directory to its end, reads everything else, begins the next listing, and prints `ok`. It prints what is wrong otherwise.
import hashlib, mmap, os, sys, threading

root = sys.argv[1]
want = open(root + '/sums').read().split()
names = sorted('name-%05d-%s' % (number, 'x' * 40) for number in range(int(want[0])))
length = int(want[1])

def whole(fd):
    # What is read comes from the daemon, not out of the page cache.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    data = b''
    while len(data) < length:
        part = os.pread(fd, 65536, len(data))
        if part == b'':
            break
        data += part
    return hashlib.sha256(data).hexdigest()

held = os.open(root + '/big', os.O_RDONLY)
mapped = mmap.mmap(os.open(root + '/mapped', os.O_RDONLY), length, prot=mmap.PROT_READ)
os.chdir(root + '/folder')
walk = None
problems = []
ending = False
# Read once more for each check, at the least.
turns = 0

def compare(who, listed):
    if sorted(listed) == names:
        return
    missing, unknown, repeated = sorted(set(names) - set(listed)), sorted(set(listed) - set(names)), len(listed) - len(set(listed))
    problems.append('%s has %d names and not %d: missing %s, unknown %s, repeated %d' % (who, len(listed), len(names), some(missing), some(unknown), repeated))

# How many there are, and up to four of them.
def some(what):
    return '%d %s' % (len(what), what if len(what) <= 4 else [*what[:2], '...', *what[-2:]])

def begin():
    global walk
    walk = os.scandir(root + '/names')
    return [next(walk).name]

def read_on():
    global turns
    fd = os.open(root + '/big', os.O_RDONLY)
    while not ending:
        try:
            if whole(fd) != want[2]:
                problems.append('the thread has read something else')
            compare('a listing of the thread', os.listdir(root + '/names'))
        except OSError as error:
            problems.append('the thread: %s' % error)
        turns += 1

thread = threading.Thread(target=read_on)
thread.start()
begun = begin()
print('ok', flush=True)
for line in sys.stdin:
    try:
        before = turns
        compare('a listing that was begun before', begun + [entry.name for entry in walk])
        if whole(held) != want[2]:
            problems.append('the held descriptor has read something else')
        mapped.madvise(mmap.MADV_DONTNEED)
        if hashlib.sha256(mapped[:]).hexdigest() != want[2]:
            problems.append('the memory map holds something else')
        if open('in-folder').read() != 'in the folder\n':
            problems.append('the file in the working directory holds something else')
        if open(root + '/folder/in-folder').read() != 'in the folder\n':
            problems.append('the file by its path holds something else')
        while turns < before + 1 and not problems:
            threading.Event().wait(0.01)
        begun = begin()
    except OSError as error:
        problems.append(str(error))
    print('ok' if problems == [] else '; '.join(problems), flush=True)
ending = True
thread.join()
