import assert from 'node:assert/strict'
import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { LogFiles } from '../../src/lab/cell/log-files.ts'
import { Timeline } from '../../src/lab/cell/timeline.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

class Watched implements AsyncDisposable {
  readonly sandbox = new Sandbox()
  readonly #timeline = new Timeline(() => 0)
  readonly files: LogFiles

  constructor(...patterns: readonly string[]) {
    this.files = new LogFiles(
      this.#timeline,
      patterns.map((pattern) => this.at(pattern)),
    )
  }

  at(name: string): string {
    return join(this.sandbox.path, name)
  }

  /** What was found so far: `NAME: LINE`. */
  lines(): readonly string[] {
    const titles = new Map(this.#timeline.lanes().map(({ id, title }) => [id, title]))
    return this.#timeline.logs().map(({ lane, text }) => `${basename(titles.get(lane) ?? '')}: ${text}`)
  }

  async shows(...lines: readonly string[]): Promise<void> {
    await eventually(`${lines.join(', ')} is found`, () => lines.every((line) => this.lines().includes(line)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.files.end()
    await this.sandbox[Symbol.asyncDispose]()
  }
}

describe('the log files of a driver', () => {
  it('are read from where they end at the beginning, new ones from their start, each on a lane of its own', async () => {
    await using watched = new Watched('*.log', 'a.*')
    writeFileSync(watched.at('a.log'), 'of the machine\n')
    writeFileSync(watched.at('a.txt'), '')
    await watched.files.begin()
    appendFileSync(watched.at('a.log'), 'one\n')
    writeFileSync(watched.at('b.log'), 'two\nthr')
    appendFileSync(watched.at('a.txt'), 'three\n')
    writeFileSync(watched.at('other'), 'not named\n')
    await watched.shows('a.log: one', 'b.log: two', 'a.txt: three')
    appendFileSync(watched.at('b.log'), 'ee and a half, gr\u00f6\u00dfe')
    await watched.files.end()
    assert.deepEqual([...watched.lines()].sort(), ['a.log: one', 'a.txt: three', 'b.log: three and a half, größe', 'b.log: two'])
  })

  it('are read anew where one is replaced, or shortened', async () => {
    await using watched = new Watched('a.log')
    writeFileSync(watched.at('a.log'), 'of the machine, and long\n')
    await watched.files.begin()
    renameSync(watched.at('a.log'), watched.at('a.log.1'))
    writeFileSync(watched.at('a.log'), 'replaced\n')
    await watched.shows('a.log: replaced')
    truncateSync(watched.at('a.log'))
    appendFileSync(watched.at('a.log'), 'new\n')
    await watched.shows('a.log: new')
  })

  it('may be absent, and hold nobody up where they are no files', async () => {
    await using watched = new Watched('no-such-folder/*.log', '*.log')
    await watched.sandbox.run('mkfifo', [watched.at('pipe.log')])
    watched.sandbox.directory('folder.log')
    await watched.files.begin()
    writeFileSync(watched.at('z.log'), 'seen\n')
    await watched.shows('z.log: seen')
    await watched.files.end()
    assert.deepEqual(watched.lines(), ['z.log: seen'])
  })
})
