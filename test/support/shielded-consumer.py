# A consumer of a mounted directory, which holds what shield.ts of this folder puts there. Arguments: the directory, and what it does once: look up, list, open or
# read. It says `ready` first, and waits for a line. Each of the four has a directory of its own: the kernel may ask for one name of a directory after the other.
import os, sys

root, what = sys.argv[1:]
os.chdir(root + '/folder')
file = os.open('in-folder', os.O_RDONLY)
# It comes from the daemon, not out of the page cache.
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
names = os.open(root + '/names', os.O_RDONLY | os.O_DIRECTORY)
act = {
    'look up': lambda: os.stat('none-%d' % os.getpid()),
    # The kernel may have listed it before, but asks for it to be opened.
    'list': lambda: os.listdir('/proc/self/fd/%d' % names),
    'open': lambda: os.open(root + '/mapped', os.O_RDONLY),
    'read': lambda: os.read(file, 1),
}[what]
print('ready', flush=True)
sys.stdin.readline()
act()
