import { type Dirent, existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { codeOf, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { listFolder, readRegularFile, removeFile, sweepFolder } from '../os/descriptors/durable-file.ts'
import { FolderSync } from '../os/descriptors/folder-sync.ts'
import type { DelayedFsync } from '../os/descriptors/delayed-fsync.ts'
import { type MountCacheEntry, parseEntry, pathOf, type PublishedEntry, type StagedEntry } from './mount-cache-entry.ts'
import { EntryIndex } from './entry-index.ts'
import { fileNameFor } from './mount-cache-file-name.ts'

/** A damaged entry keeps its name and gets this ending; no one but people reads it any more. */
const DAMAGED = '.damaged'

/** Entries that are read in a row. */
const PORTION = 100

/** Mount instructions on disk, one file for each staged volume and each target, for a plugin that starts anew to replay. */
export class MountCache {
  readonly #folders: Readonly<Record<MountCacheEntry['kind'], string>>
  readonly #removals: Readonly<Record<MountCacheEntry['kind'], FolderSync>>
  readonly #files: DelayedFsync
  readonly #log: Logger
  readonly #staged = new EntryIndex<StagedEntry>()
  readonly #published = new EntryIndex<PublishedEntry>()

  /** `folder` is `<state-dir>/mountcache`. Call {@link load} before anything else. */
  constructor(folder: string, files: DelayedFsync, log: Logger) {
    this.#folders = { staged: join(folder, 'staged'), published: join(folder, 'published') }
    this.#removals = { staged: new FolderSync(this.#folders.staged), published: new FolderSync(this.#folders.published) }
    this.#files = files
    this.#log = log
  }

  /** Makes the folders and reads all entries, setting damaged ones aside. Throws only if the folders cannot be made or read. */
  load(): void {
    for (const kind of ['staged', 'published'] as const) {
      const folder = this.#folders[kind]
      makeDirectories(folder, 0o750)
      for (const file of wholeFiles(sweepFolder(folder))) {
        this.#loadFile(kind, file, (path, why) => {
          this.#setAside(path, why)
        })
      }
    }
  }

  /**
   * Reads all entries and changes nothing: for a program that looks while a plugin may be running. Folders that are missing hold none. The event
   * loop runs between portions of the entries.
   */
  async peek(): Promise<void> {
    for (const kind of ['staged', 'published'] as const) {
      if (!existsSync(this.#folders[kind])) continue
      const files = wholeFiles(listFolder(this.#folders[kind]))
      for (let at = 0; at < files.length; at += PORTION) {
        for (const file of files.slice(at, at + PORTION)) {
          this.#loadFile(kind, file, (path, why) => {
            this.#log.warning(`damaged mount cache entry ${path}: ${why}`)
          })
        }
        await setImmediate()
      }
    }
  }

  /** Where the entries of one kind lie. */
  folder(kind: MountCacheEntry['kind']): string {
    return this.#folders[kind]
  }

  staged(): readonly StagedEntry[] {
    return this.#staged.all()
  }

  published(): readonly PublishedEntry[] {
    return this.#published.all()
  }

  stagedAt(stagingPath: string): StagedEntry | undefined {
    return this.#staged.at(stagingPath)
  }

  publishedAt(targetPath: string): PublishedEntry | undefined {
    return this.#published.at(targetPath)
  }

  /** Entries of one volume. */
  of(volumeId: string): { staged: readonly StagedEntry[]; published: readonly PublishedEntry[] } {
    return { staged: this.#staged.of(volumeId), published: this.#published.of(volumeId) }
  }

  /** Writes an entry, which is on the disk a moment later, and returns its file. */
  save(entry: MountCacheEntry): string {
    const file = this.#fileOf(entry)
    this.#files.write(file, `${JSON.stringify(entry)}\n`)
    this.#remember(entry)
    return file
  }

  /** Removes an entry; before a call answers for it, it waits for {@link removalsSynced}. Throws Node's error; then the entry is still there. */
  remove(entry: MountCacheEntry): void {
    removeFile(this.#fileOf(entry))
    this.#removals[entry.kind].change()
    if (entry.kind === 'staged') this.#staged.remove(entry)
    else this.#published.remove(entry)
  }

  /** Resolves when no power cut can bring back an entry that was removed. Rejects with Node's error or SystemError; calling again syncs again. */
  async removalsSynced(): Promise<void> {
    await Promise.all([this.#removals.staged.synced(), this.#removals.published.synced()])
  }

  #remember(entry: MountCacheEntry): void {
    if (entry.kind === 'staged') this.#staged.add(entry)
    else this.#published.add(entry)
  }

  #fileOf(entry: MountCacheEntry): string {
    return join(this.#folders[entry.kind], nameOf(entry))
  }

  #loadFile(kind: MountCacheEntry['kind'], file: Dirent, damaged: (file: string, why: string) => void): void {
    try {
      const entry = parseEntry(readRegularFile(file), kind)
      if (nameOf(entry) !== file.name) throw new Error('it is the entry of another volume or path')
      if ((kind === 'staged' ? this.#staged : this.#published).at(pathOf(entry)) !== undefined)
        throw new Error('another entry has its path')
      this.#remember(entry)
    } catch (error) {
      damaged(join(this.#folders[kind], file.name), messageOf(error))
    }
  }

  #setAside(file: string, why: string): void {
    try {
      renameSync(file, `${file}${DAMAGED}`)
      this.#log.error(`Skipped damaged mount cache entry ${file}: ${why}; kept as ${file}${DAMAGED}`)
    } catch (error) {
      this.#log.error(
        `Skipped damaged mount cache entry ${file}: ${why}; cannot be kept aside: ${codeOf(error) ?? messageOf(error)}`,
      )
    }
  }
}

function wholeFiles(files: readonly Dirent[]): readonly Dirent[] {
  return files.filter(({ name }) => !name.endsWith(DAMAGED)).sort((a, b) => (a.name < b.name ? -1 : 1))
}

function nameOf(entry: MountCacheEntry): string {
  return fileNameFor(entry.volumeId, pathOf(entry))
}
