# Shows a folder by fusepy. Arguments: the folder, and where it is mounted, in the foreground. Reading a file that is called `poison` ends it, as a fault in its code
# would.
import errno, os, sys

import fusepy as fuse


class Loopback(fuse.Operations):
    def __init__(self, root):
        self.root = root

    def below(self, path):
        return self.root + path

    def getattr(self, path, fh=None):
        stat = os.lstat(self.below(path))
        names = ('mode', 'ino', 'nlink', 'uid', 'gid', 'size', 'atime', 'mtime', 'ctime', 'blocks')
        return {'st_' + name: getattr(stat, 'st_' + name) for name in names}

    def access(self, path, mode):
        if not os.access(self.below(path), mode):
            raise fuse.FuseOSError(errno.EACCES)

    def chmod(self, path, mode):
        os.chmod(self.below(path), mode)

    def chown(self, path, uid, gid):
        os.lchown(self.below(path), uid, gid)

    def utimens(self, path, times=None):
        os.utime(self.below(path), times, follow_symlinks=False)

    def statfs(self, path):
        stat = os.statvfs(self.below(path))
        return {name: getattr(stat, name) for name in ('f_bsize', 'f_frsize', 'f_blocks', 'f_bfree', 'f_bavail', 'f_files', 'f_ffree', 'f_namemax')}

    def readdir(self, path, fh):
        return ['.', '..'] + os.listdir(self.below(path))

    def readlink(self, path):
        return os.readlink(self.below(path))

    def mkdir(self, path, mode):
        os.mkdir(self.below(path), mode)

    def rmdir(self, path):
        os.rmdir(self.below(path))

    def mknod(self, path, mode, device):
        os.mknod(self.below(path), mode, device)

    def symlink(self, path, text):
        os.symlink(text, self.below(path))

    def link(self, path, existing):
        os.link(self.below(existing), self.below(path), follow_symlinks=False)

    def unlink(self, path):
        os.unlink(self.below(path))

    def rename(self, old, new):
        os.rename(self.below(old), self.below(new))

    def open(self, path, flags):
        # Otherwise pwrite(2) would write at the end, whatever its offset.
        return os.open(self.below(path), flags & ~os.O_APPEND)

    def create(self, path, mode, fi=None):
        return os.open(self.below(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path, size, offset, fh):
        if path.endswith('/poison'):
            os.abort()
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(self.below(path) if fh is None else fh, length)

    def flush(self, path, fh):
        return 0

    def fsync(self, path, datasync, fh):
        os.fdatasync(fh) if datasync else os.fsync(fh)

    def release(self, path, fh):
        os.close(fh)


folder, target = sys.argv[1:]
fuse.FUSE(Loopback(folder), target, foreground=True, default_permissions=True)
