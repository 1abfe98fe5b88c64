import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Component, Driver } from './driver.ts'
import type { ReaderPod } from './readers.ts'

/** How often each way to end something is tried. */
export const ROUNDS = Number(process.env.ROUNDS ?? 2)

/** What ends processes of the driver, by name. Each resolves when that is done, not when all is well again. */
export type Endings = Readonly<Record<string, (driver: Driver) => Promise<unknown>>>

/** Kills all processes of these names (comm) on the node. */
export async function killNamed({ cluster }: Driver, ...comms: readonly string[]): Promise<void> {
  await cluster.enter('sh', '-c', `kill -KILL ${comms.map((comm) => `$(pgrep -x ${comm})`).join(' ')}`)
}

/** Kills the first process of a container. */
export async function killFirst(driver: Driver, component: Component, container: string): Promise<void> {
  const { cluster } = driver
  await cluster.enter('kill', '-KILL', String(await cluster.processOf(await driver.pod(component), container)))
}

/** Deletes the pods of these components, and waits for their end. */
export async function remove({ cluster }: Driver, components: readonly Component[], ...options: readonly string[]): Promise<void> {
  const selector = `app.kubernetes.io/component in (${components.join(',')})`
  await cluster.kubectl('delete', 'pod', '--selector', selector, '--wait', '--timeout=120s', ...options)
}

/** What is tried, and beside whom. */
interface Trial {
  readonly endings: Endings
  readonly driver: Driver
  readonly readers: ReaderPod
  /** Resolves when all is well again. */
  readonly settled: (driver: Driver) => Promise<void>
}

/** Tries each ending {@link ROUNDS} times: no read may fail. */
export async function outlive(t: TestContext, { endings, driver, readers, settled }: Trial): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    for (const [title, end] of Object.entries(endings)) {
      await end(driver)
      await settled(driver)
      await readers.readOn()
      assert.deepEqual(await readers.complaints(), [], `round ${round}: ${title}`)
      t.diagnostic(`round ${round}: ${title}: no read failed`)
    }
  }
}

/** Says how much was read, and how long a read took at the most. */
export async function tellReads(t: TestContext, readers: ReaderPod): Promise<void> {
  const progress = await readers.progress()
  const total = progress.reduce((sum, { right }) => sum + right, 0)
  const longest = Math.max(...progress.map(({ longestStall }) => longestStall.ns)) / 1e6
  t.diagnostic(`${total} reads, none failed; the longest took ${longest.toFixed(1)} ms`)
}
