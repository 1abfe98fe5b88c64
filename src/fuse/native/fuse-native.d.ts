/** The parts of fuse-native 2.2.6 that the adapter uses; the package ships no types. Errnos are negative, counts positive. */
declare module 'fuse-native' {
  export type Done<T = void> = (status: number, result?: T) => void

  export interface Stat {
    mode: number
    uid: number
    gid: number
    size: number
    nlink: number
    ino: number
    blocks: number
    atime: number
    mtime: number
    ctime: number
  }

  export interface Operations {
    init(done: Done): void
    access(path: string, mode: number, done: Done): void
    statfs(path: string, done: Done<object>): void
    getattr(path: string, done: Done<Stat>): void
    readdir(path: string, done: (status: number, names?: string[], stats?: Stat[]) => void): void
    open(path: string, flags: number, done: Done<number>): void
    read(path: string, handle: number, buffer: Buffer, length: number, offset: number, done: Done<number>): void
    [change: string]: (...args: never[]) => void
  }

  export interface Binding {
    readonly sizeof_fuse_thread_t: number
    fuse_native_mount(
      mountpoint: string,
      options: string,
      thread: Buffer,
      context: object,
      malloc: (size: number) => Buffer,
      handlers: readonly unknown[],
      implemented: Uint32Array,
    ): void
  }

  export default class Fuse {
    constructor(mountpoint: string, operations: Operations, options: { timeout: false })
    readonly mnt: string
    _thread: Buffer
    _openCallback: ((error: Error | null) => void) | null
    readonly _handlers: readonly unknown[]
    _malloc(size: number): Buffer
    _getImplementedArray(): Uint32Array
    _open(done: (error: Error | null) => void): void
    mount(done: (error: Error | null) => void): void
  }
}
