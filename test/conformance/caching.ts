import { type Case, HELLO } from './case.ts'

/** What a reader who has looked at everything still gets once the connection is cut, and whether an open leaves the file's pages be. */
interface Cached {
  /** stat(2) of the mount point, of the file and of an absent name: the size, or the errno's name. */
  readonly root: number | string
  readonly file: number | string
  readonly absent: string
  /** fstat(2) of the open file. */
  readonly open: number | string
  /** Reading inside the file, and across its end. */
  readonly inside: string
  readonly across: string
  readonly pagesOutliveOpen: boolean
}

/** Without caches but the page cache of what is open. */
const UNCACHED: Cached = {
  root: 'ENOTCONN',
  file: 'ENOTCONN',
  absent: 'ENOTCONN',
  open: 'ENOTCONN',
  inside: 'Hello',
  across: 'ENOTCONN',
  pagesOutliveOpen: false,
}

/** By mount options. */
const CACHED: Readonly<Record<string, Cached>> = {
  '': UNCACHED,
  'attr_timeout=600': { ...UNCACHED, root: 0, open: 13, across: HELLO },
  'entry_timeout=600': UNCACHED,
  'entry_timeout=600,attr_timeout=600': { ...UNCACHED, root: 0, file: 13, open: 13, across: HELLO },
  'negative_timeout=600': { ...UNCACHED, absent: 'ENOENT' },
  kernel_cache: { ...UNCACHED, pagesOutliveOpen: true },
  'noauto_cache,auto_cache': { ...UNCACHED, pagesOutliveOpen: true },
  'auto_cache,noauto_cache': UNCACHED,
  direct_io: { ...UNCACHED, inside: 'ENOTCONN' },
  'kernel_cache,entry_timeout=600,attr_timeout=600,negative_timeout=600': {
    root: 0,
    file: 13,
    absent: 'ENOENT',
    open: 13,
    inside: 'Hello',
    across: HELLO,
    pagesOutliveOpen: true,
  },
}

/** The connection's files (Documentation/filesystems/fuse/fuse.rst), whether or not fusectl is mounted on this machine. */
export const CONNECTION = `
CLONE_NEWNS, PRIVATE = 0x20000, 0x44000
def connection():
    number = os.minor(os.stat(path).st_dev)
    call(libc.unshare, CLONE_NEWNS)
    call(libc.mount, b'none', b'/', None, ctypes.c_ulong(PRIVATE), None)
    folder = tempfile.mkdtemp()
    call(libc.mount, b'fusectl', folder.encode(), b'fusectl', 0, None)
    return f'{folder}/{number}'
`

/** A case for each of the options, which leaves its mount dead. */
export const CACHING: readonly (readonly [options: string, Case])[] = Object.entries(CACHED).map(([options, expected]) => [
  options,
  {
    code: `${CONNECTION}
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
def resident(fd):
    'Whether the first page is in the page cache.'
    at, flags = libc.mmap(None, 4096, 1, 2, fd, 0), ctypes.create_string_buffer(1)
    call(libc.mincore, ctypes.c_void_p(at), ctypes.c_size_t(4096), flags)
    return flags.raw[0] & 1 == 1
fd = os.open(file, os.O_RDONLY)
os.pread(fd, 100, 0)
os.open(file, os.O_RDONLY)
pages = resident(fd)
control = connection()
os.pread(fd, 100, 0), outcome(lambda: os.stat(path + '/nope')), os.stat(file), os.stat(path)
with open(control + '/abort', 'w') as abort:
    abort.write('1')
show({
    'root': value(lambda: os.stat(path).st_size), 'file': value(lambda: os.stat(file).st_size), 'absent': outcome(lambda: os.stat(path + '/nope')),
    'open': value(lambda: os.fstat(fd).st_size), 'inside': value(lambda: os.pread(fd, 5, 0).decode()),
    'across': value(lambda: os.pread(fd, 100, 0).decode()), 'pagesOutliveOpen': pages})`,
    expected,
  },
])
