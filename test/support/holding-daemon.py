# A FUSE daemon with one file, f, which answers no READ: it has the kernel forget the file's contents instead, which waits there for the READ. Argument: the mount point.
import ctypes, errno, os, struct, sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 18, 25, 26, 27, 29, 36, 42
INVAL_INODE = 2
ROOT, FILE = 1, 2

device = os.open('/dev/fuse', os.O_RDWR)
options = b'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % device
assert ctypes.CDLL(None).mount(b'holding', sys.argv[1].encode(), b'fuse.holding', 0, options) == 0

def attributes(node):
    mode, size = (0o40755, 0) if node == ROOT else (0o100644, 4096)
    return struct.pack('<6Q10I', node, size, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

def answer(opcode, node, body):
    if opcode == INIT:
        return struct.pack('<4I2H2I2HI', 7, 31, 131072, 0, 16, 12, 131072, 1, 32, 0, 0).ljust(64, b'\0')
    if opcode == LOOKUP:
        return struct.pack('<4Q2I', FILE, 0, 0, 0, 0, 0) + attributes(FILE) if body == b'f\0' else errno.ENOENT
    if opcode == GETATTR:
        return struct.pack('<QII', 0, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return bytes(16)
    return b'' if opcode in (RELEASE, FLUSH, RELEASEDIR) else errno.ENOSYS

while request := os.read(device, 1 << 20):
    _, opcode, unique, node = struct.unpack_from('<IIQQ', request)
    if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    if opcode == READ:
        os.write(device, struct.pack('<IiQQqq', 40, INVAL_INODE, 0, node, 0, 0))
        continue
    result = answer(opcode, node, request[40:])
    error, body = (-result, b'') if isinstance(result, int) else (0, result)
    os.write(device, struct.pack('<IiQ', 16 + len(body), error, unique) + body)
