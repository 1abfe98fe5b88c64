import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { messageOf } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import { SHARED_LIMITS } from '../limits.ts'
import { RateLimitedLog } from '../rate-limited-log.ts'
import type { SocketFile } from './socket-file.ts'

/** The dependencies of {@link SocketGuard}. */
export interface SocketGuardParts {
  readonly file: SocketFile
  /**
   * Makes the socket again at its path, if the path is free. Rejects with an Error that names what is there. Resolves to text: what the user has to
   * do instead.
   */
  readonly renew: (() => Promise<SocketFile>) | string
  /**
   * Called when the socket's path is lost and the socket cannot be made again there, with the reason and what to do; once for as long as that stays
   * the same. Undefined: the guard logs it.
   */
  readonly onLost?: ((problem: string) => void) | undefined
  /** Called when the socket has been made again. */
  readonly onRenewed?: (() => void) | undefined
  readonly log: Logger
}

/** Notices when a socket's path does not lead to the socket any more, logs it, and makes the socket again. Does not keep the event loop alive. */
export class SocketGuard implements Disposable {
  readonly #renew: SocketGuardParts['renew']
  readonly #onLost: SocketGuardParts['onLost']
  readonly #onRenewed: SocketGuardParts['onRenewed']
  readonly #rateLimitedLog: RateLimitedLog
  readonly #log: Logger
  readonly #timer: NodeJS.Timeout
  #file: SocketFile
  #watcher: FSWatcher | undefined
  #soon: NodeJS.Timeout | undefined
  #looking = false
  #ended = false
  /** What was said last of a socket that is missing. */
  #said: string | undefined

  constructor({ file, renew, onLost, onRenewed, log }: SocketGuardParts) {
    this.#file = file
    this.#renew = renew
    this.#onLost = onLost
    this.#onRenewed = onRenewed
    this.#log = log
    this.#rateLimitedLog = new RateLimitedLog(log)
    this.#timer = setInterval(() => this.#look(), SHARED_LIMITS.socketPeriod).unref()
    this.#watch()
    // It may be gone since it was bound.
    this.#change()
  }

  [Symbol.dispose](): void {
    this.#ended = true
    this.#watcher?.close()
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
  }

  /** Without inotify (ENOSPC, EMFILE) the timer alone looks. */
  #watch(): void {
    if (this.#ended) return
    const { path } = this.#file
    // A folder that is removed or moved is named as such itself.
    const names: readonly (string | null)[] = [basename(path), basename(dirname(path)), null]
    this.#watcher?.close()
    try {
      this.#watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
        if (names.includes(name)) this.#change()
      })
      this.#watcher.on('error', () => undefined)
    } catch {
      this.#watcher = undefined
    }
  }

  #change(): void {
    clearTimeout(this.#soon)
    if (!this.#ended) this.#soon = setTimeout(() => this.#look(), SHARED_LIMITS.socketSettle).unref()
  }

  #look(): void {
    if (this.#looking || this.#ended) return
    this.#looking = true
    this.#examine()
      .catch((error: unknown) => this.#say(`cannot check the socket ${this.#file.path}: ${messageOf(error)}`))
      .finally(() => (this.#looking = false))
  }

  async #examine(): Promise<void> {
    const { path } = this.#file
    const state = await this.#file.state()
    if (this.#ended || state === 'unknown') return
    if (state === 'there') {
      this.#said = undefined
      return
    }
    const problem =
      state === 'gone'
        ? `the socket ${path} is gone, and clients cannot connect`
        : `another file is in the place of the socket ${path}, and clients do not reach this process`
    if (typeof this.#renew === 'string') {
      this.#say(`${problem}; ${this.#renew}`)
      return
    }
    try {
      this.#file = await this.#renew()
    } catch (error) {
      const lost = `${problem}: ${messageOf(error)}`
      if (this.#onLost === undefined) this.#say(lost)
      else if (this.#isNews(lost)) this.#onLost(lost)
      return
    }
    this.#rateLimitedLog.warning('renewed', `${problem}; it is made again`)
    this.#log.info(`Listening again on ${path}`)
    this.#said = undefined
    this.#watch()
    this.#onRenewed?.()
  }

  #say(problem: string): void {
    if (this.#isNews(problem)) this.#rateLimitedLog.warning('missing', problem)
  }

  /** Once for as long as nothing changes. */
  #isNews(problem: string): boolean {
    if (problem === this.#said || this.#ended) return false
    this.#said = problem
    return true
  }
}
