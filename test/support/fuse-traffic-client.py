"""What the recorder has done to its mount, so that the kernel sends it as many kinds of requests as it has; prints JSON of the results.

Arguments: the mount point, and a file to make once the directory is removed.
"""

import ctypes, errno, fcntl, json, mmap, os, select, struct, subprocess, sys

root, marker = sys.argv[1:]
os.umask(0o027)
libc = ctypes.CDLL(None, use_errno=True)
results = {}


def path(name):
    return f"{root}/{name}"


def outcome(name, act):
    try:
        result = act()
        results[name] = result if isinstance(result, (int, str, list)) else "done"
    except OSError as error:
        results[name] = errno.errorcode[error.errno]


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, cwd=root, env={**os.environ, "LC_ALL": "C", "TZ": "UTC"})
    return [done.returncode, done.stdout, done.stderr]


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


results["ls"] = run("ls", "-lan")
results["ls-many"] = sorted(os.listdir(path("many")))
results["ls-many-again"] = sorted(os.listdir(path("many")))
results["cat"] = run("cat", "file")
results["stat"] = run("stat", "-c", "%s %b %B %a %h %u %g %i %Y", "file")
results["birth"] = run("stat", "-c", "%W", "file")
results["stat -f"] = run("stat", "-f", "-c", "%s %S %b %f %a %c %d %l", ".")
results["touch"] = run("touch", "created")
outcome("missing", lambda: os.stat(path("größe")))
outcome("readlink", lambda: os.readlink(path("link")))
outcome("access", lambda: os.access(path("file"), os.R_OK | os.W_OK))
outcome("listxattr", lambda: os.listxattr(path("file")))
outcome("getxattr", lambda: os.getxattr(path("file"), "user.colour").decode())
outcome("getxattr missing", lambda: os.getxattr(path("file"), "user.taste"))
outcome("setxattr", lambda: os.setxattr(path("file"), "user.colour", b"green", os.XATTR_REPLACE))
outcome("removexattr", lambda: os.removexattr(path("file"), "user.colour"))

outcome("mkdir", lambda: os.mkdir(path("made"), 0o777))
outcome("mknod", lambda: os.mknod(path("made"), 0o020666, os.makedev(1, 3)))
outcome("symlink", lambda: os.symlink("the/target", path("made")))
outcome("link", lambda: os.link(path("file"), path("made")))
outcome("rename", lambda: os.rename(path("file"), path("renamed")))
RENAME_NOREPLACE = 1
outcome(
    "renameat2",
    lambda: checked(libc.renameat2(-100, path("file").encode(), -100, path("renamed").encode(), RENAME_NOREPLACE)),
)
outcome("unlink", lambda: os.unlink(path("file")))
outcome("chmod", lambda: os.chmod(path("file"), 0o600))
outcome("chown", lambda: os.chown(path("file"), 1001, 1002))
outcome("truncate", lambda: os.truncate(path("file"), 5_000_000_000))
outcome("utime", lambda: os.utime(path("file"), ns=(-1_000_000_000, 1_618_579_413_123_456_789)))
O_TMPFILE = 0o20200000
outcome("tmpfile", lambda: os.open(root, O_TMPFILE | os.O_RDWR, 0o600))

fd = os.open(path("file"), os.O_RDWR)
outcome("pread", lambda: os.pread(fd, 5, 6).decode())
outcome("mmap", lambda: mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:5].decode())
outcome("fstat", lambda: os.fstat(fd).st_size)
outcome("write", lambda: os.pwrite(fd, b"twelve bytes", 4096))
outcome("fsync", lambda: os.fsync(fd))
outcome("fallocate", lambda: os.posix_fallocate(fd, 8192, 100))
outcome("hole", lambda: os.lseek(fd, 3, os.SEEK_HOLE))
outcome("copy", lambda: os.copy_file_range(fd, fd, 3, 0, 8192))
outcome("create", lambda: os.close(os.open(path("creatable"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o604)))
outcome("setlk", lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 100))
LOCK = "hhqqi4x"
whole_file = struct.pack(LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
outcome("getlk", lambda: list(struct.unpack(LOCK, fcntl.fcntl(fd, fcntl.F_GETLK, whole_file))))
outcome("setlkw", lambda: fcntl.lockf(fd, fcntl.LOCK_SH))
outcome("flock", lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
FS_IOC_GETFLAGS = 0x80086601
outcome("ioctl", lambda: fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 4).decode())
outcome("poll", lambda: len(select.select([fd], [], [])[0]))
os.close(fd)

directory = os.open(path("many"), os.O_RDONLY | os.O_DIRECTORY)
outcome("fsyncdir", lambda: os.fsync(directory))
os.close(directory)

# The kernel forgets the directory and all that was looked up in it at once.
os.listdir(path("removed"))
for name in ("one", "two", "three"):
    os.stat(path(f"removed/{name}"))
outcome("rmdir", lambda: os.rmdir(path("removed")))
open(marker, "w").close()

results["interrupted"] = run("cat", "held")[0]
results["resent"] = run("cat", "resent")[1]
print(json.dumps(results))
