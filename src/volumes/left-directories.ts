/** Directories that are remembered: the oldest is forgotten first. */
const MOST = 1000

/**
 * Directories that could not be removed (ENOTEMPTY, EROFS, EIO) after they were unmounted and their entries removed. The next call for the path tries
 * again. After a restart the plugin leaves them to the CO.
 */
export class LeftDirectories {
  readonly #paths = new Set<string>()

  has(path: string): boolean {
    return this.#paths.has(path)
  }

  add(path: string): void {
    this.#paths.add(path)
    const [oldest] = this.#paths
    if (this.#paths.size > MOST && oldest !== undefined) this.#paths.delete(oldest)
  }

  /** Removes the directory at a path by `remove`, and remembers it as long as that throws. */
  remove(path: string, remove: () => void): void {
    this.add(path)
    remove()
    this.#paths.delete(path)
  }

  /** Something is mounted there again: the directory is in use. */
  forget(path: string): void {
    this.#paths.delete(path)
  }
}
