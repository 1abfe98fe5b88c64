import { describe, it } from 'node:test'
import { ApiServer } from '../../src/kubernetes/api-server.ts'
import { openCluster } from '../../src/kubernetes/cluster.ts'
import { ObjectWatch } from '../../src/kubernetes/object-watch.ts'
import { Logger } from '../../src/log.ts'
import { SYSTEM_CLOCK } from '../../src/os/clock.ts'
import { ApiServerStandIn } from '../support/api-server-stand-in.ts'
import { podObject } from '../support/restarter-pods.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** A watch of pods whose watches last a second, and what it has told. */
class Watching implements AsyncDisposable {
  readonly api = new ApiServerStandIn()
  readonly told: string[] = []
  readonly #stop = new AbortController()
  #ended: Promise<unknown> = Promise.resolve()

  static async begin(retry: number, bookmarks: boolean): Promise<Watching> {
    const watching = new Watching()
    const { api, told } = watching
    api.bookmarks = bookmarks
    await api.listen()
    await using sandbox = new Sandbox()
    const cluster = await openCluster(api.kubeconfig(sandbox.path), false)
    const watch = new ObjectWatch({
      api: new ApiServer(cluster, { request: 10_000, connections: 60_000 }, SYSTEM_CLOCK),
      path: '/api/v1/pods',
      query: {},
      sink: {
        replace: (objects) => told.push(`list of ${objects.length}`),
        changed: () => told.push('changed'),
        deleted: () => told.push('deleted'),
        upToDate: () => told.push('up to date'),
        interrupted: () => told.push('interrupted'),
      },
      limits: { page: 10, resync: 600_000, watch: 1000, shortest: 100, retry: { first: retry, longest: 600_000 } },
      clock: SYSTEM_CLOCK,
      log: new Logger(() => undefined),
    })
    watching.#ended = watch.run(watching.#stop.signal).catch(() => undefined)
    await watching.tells('list of 0', 'up to date')
    return watching
  }

  /** Resolves once it has told these, and forgets what it has told. */
  async tells(...all: readonly string[]): Promise<void> {
    await eventually(all.join(), () => JSON.stringify(this.told).includes(JSON.stringify(all).slice(1, -1)))
    this.told.length = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#ended
    await this.api[Symbol.asyncDispose]()
  }
}

describe('a watch of objects', () => {
  it('is up to date by the bookmark of a server where nothing changes, without another list', async () => {
    await using watching = await Watching.begin(10, true)
    await watching.tells('up to date', 'up to date')
  })

  it('lists again when the server has sent nothing', async () => {
    await using watching = await Watching.begin(10, false)
    await watching.tells('list of 0', 'up to date', 'list of 0', 'up to date')
  })

  it('lists after an interruption, before it takes another change', async () => {
    await using watching = await Watching.begin(10, true)
    await watching.api.goAway()
    await watching.tells('interrupted')
    watching.api.putPod(podObject({ name: 'web' }))
    await watching.api.listen()
    await watching.tells('list of 1', 'up to date')
  })

  it('goes on soon when the server has no history that reaches back, though it was away for long', async () => {
    await using watching = await Watching.begin(1, true)
    await watching.api.goAway()
    // The pauses double from one millisecond on.
    await eventually('failures', () => watching.told.filter((one) => one === 'interrupted').length >= 8)
    await watching.api.listen()
    await watching.tells('list of 0', 'up to date')
    watching.api.forgetHistory()
    await watching.tells('list of 0', 'up to date')
  })
})
