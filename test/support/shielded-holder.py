# A process that holds files of a mounted directory whose names are taken away, and whose daemon is killed meanwhile. Arguments: the directory,
# which is empty, and the folder that the daemon shows there, if it shows one.
# For each line of its input it reads and changes what it holds, and prints `ok`, or what is wrong. When its input ends it closes everything.
import os, sys

root, *below = sys.argv[1:]
held = {}

def hold(name, path):
    content = os.urandom(70000)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    assert os.write(fd, content) == len(content)
    held[name] = [fd, content]
    return path

hold('renamed', root + '/renamed')
os.rename(root + '/renamed', root + '/new-name')
os.unlink(hold('unlinked', root + '/unlinked'))
hold('replaced', root + '/replaced')
with open(root + '/replacement', 'wb') as file:
    file.write(b'replacement')
os.rename(root + '/replacement', root + '/replaced')
hold('linked', root + '/linked')
os.link(root + '/linked', root + '/link')
os.unlink(root + '/linked')
os.mkdir(root + '/folder')
os.unlink(hold('in a removed folder', root + '/folder/file'))
os.rmdir(root + '/folder')

def check():
    assert sorted(os.listdir(root)) == ['link', 'new-name', 'replaced'], os.listdir(root)
    assert open(root + '/replaced', 'rb').read() == b'replacement'
    for name, (fd, content) in held.items():
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        assert os.pread(fd, len(content) + 1, 0) == content, name
        assert (os.fstat(fd).st_nlink > 0) == (name in ('renamed', 'linked')), name
        at = len(content) // 2
        content = content[:at] + os.urandom(5) + content[at + 5:] + b'more'
        assert os.pwrite(fd, content, 0) == len(content)
        held[name][1] = content
    # In the mount, another name of a file may have pages of its own.
    for folder in below:
        # What the kernel has not given the daemon yet.
        for name in ('linked', 'renamed'):
            os.fsync(held[name][0])
        assert open(folder + '/link', 'rb').read() == held['linked'][1]
        assert open(folder + '/new-name', 'rb').read() == held['renamed'][1]

print('ok', flush=True)
for line in sys.stdin:
    check()
    print('ok', flush=True)
