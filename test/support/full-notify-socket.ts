import assert from 'node:assert/strict'
import { join } from 'node:path'
import { NotifyInbox } from './notify-inbox.ts'

/** What it is filled with. */
const FILLING = 'X=1'

/** A notify socket whose queue is full, and that nobody reads at first. */
export class FullNotifySocket implements Disposable {
  readonly #inbox: NotifyInbox
  #reader: NodeJS.Timeout | undefined

  constructor(folder: string) {
    this.#inbox = new NotifyInbox(join(folder, 'notify'))
    this.fill()
  }

  get path(): string {
    return this.#inbox.path
  }

  /** The messages that came, once it is read; each with its descriptors closed, as a service manager that keeps none. */
  readonly messages: string[] = []

  fill(): void {
    assert.throws(
      () => {
        for (;;) this.#inbox.send(FILLING)
      },
      { code: 'EAGAIN' },
    )
  }

  /** Reads from now on. */
  read(): void {
    this.#reader = setInterval(() => {
      for (const { text } of this.#inbox.take()) if (text !== FILLING) this.messages.push(text)
    }, 5)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#reader)
    this.#inbox[Symbol.dispose]()
  }
}
