import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** A change of files below one folder, with paths that begin there. `sync` is fsync(2) of a file or folder. */
export type Change =
  | { readonly kind: 'create' | 'unlink' | 'mkdir' | 'sync'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly data: Buffer }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }

/** What a disk may hold after a power cut. */
export const LOSSES = [
  'nothing is lost',
  'names and bytes that were not synced are lost',
  'bytes that were not synced are lost',
] as const

export type Loss = (typeof LOSSES)[number]

interface File {
  content: Buffer
  /** What is on the disk for sure: nothing before its first sync. */
  synced: Buffer
}

interface Folder {
  readonly names: Map<string, File | Folder>
  synced: ReadonlyMap<string, File | Folder>
}

/** A file system that knows what a power cut may take away: POSIX promises no more than fsync(2) has seen to, of a file and of its folder each. */
export class Disk {
  readonly #root: Folder = folder()

  /** A folder that is there, and on the disk, from the beginning. */
  add(path: string): void {
    this.#folder(dirname(path)).names.set(basename(path), folder())
    this.#sync(this.#folder(dirname(path)))
  }

  apply(change: Change): void {
    const { names } = this.#folder(dirname(change.path))
    const name = basename(change.path)
    switch (change.kind) {
      case 'create':
        names.set(name, { content: Buffer.alloc(0), synced: Buffer.alloc(0) })
        return
      case 'mkdir':
        names.set(name, folder())
        return
      case 'unlink':
        names.delete(name)
        return
      case 'write': {
        const file = fileAt(names, name, change.path)
        file.content = Buffer.concat([file.content, change.data])
        return
      }
      case 'rename': {
        this.#folder(dirname(change.to)).names.set(basename(change.to), fileAt(names, name, change.path))
        names.delete(name)
        return
      }
      case 'sync': {
        const found = change.path === '.' ? this.#root : names.get(name)
        // A file that was removed may still be synced.
        if (found !== undefined) this.#sync(found)
      }
    }
  }

  /** Writes what the disk holds after a power cut at this moment to a folder. */
  cut(loss: Loss, to: string): void {
    write(this.#root, loss, to)
  }

  #sync(one: File | Folder): void {
    if ('names' in one) one.synced = new Map(one.names)
    else one.synced = one.content
  }

  #folder(path: string): Folder {
    let at = this.#root
    for (const name of path.split('/').filter((part) => part !== '' && part !== '.')) {
      const next = at.names.get(name)
      if (next === undefined || !('names' in next)) throw new Error(`${path} is no folder of the disk`)
      at = next
    }
    return at
  }
}

function folder(): Folder {
  return { names: new Map(), synced: new Map() }
}

function fileAt(names: ReadonlyMap<string, File | Folder>, name: string, path: string): File {
  const found = names.get(name)
  if (found === undefined || 'names' in found) throw new Error(`${path} is no file of the disk`)
  return found
}

function write({ names, synced }: Folder, loss: Loss, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const [name, one] of loss === 'names and bytes that were not synced are lost' ? synced : names) {
    if ('names' in one) write(one, loss, join(to, name))
    else writeFileSync(join(to, name), loss === 'nothing is lost' ? one.content : one.synced, { mode: 0o600 })
  }
}
