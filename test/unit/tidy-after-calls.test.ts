import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import { create } from '@bufbuild/protobuf'
import type { UnaryInterceptor } from '../../src/grpc/service.ts'
import { tidyAfterCalls } from '../../src/programs/tidy-after-calls.ts'
import { Node, NodeGetInfoRequestSchema, NodeGetInfoResponseSchema } from '../../src/rpc/csi_pb.ts'

const QUIET = 1000
const LATEST = 60_000

/** A program that is called, and counts how often it tidies up. */
class Program {
  tidied = 0
  readonly #intercept: UnaryInterceptor

  constructor() {
    const tidy = (): void => {
      this.tidied++
    }
    this.#intercept = tidyAfterCalls(async (_method, _request, act) => await act(), tidy, { quiet: QUIET, latest: LATEST })
  }

  async call(): Promise<void> {
    const answer = (): Promise<ReturnType<typeof create>> => Promise.resolve(create(NodeGetInfoResponseSchema))
    await this.#intercept(Node.method.nodeGetInfo, create(NodeGetInfoRequestSchema), answer)
  }

  /** Calls it again and again for `time` milliseconds of the mocked clock. */
  async keepCalling(time: number): Promise<void> {
    for (let at = 0; at < time; at += QUIET / 2) {
      await this.call()
      mock.timers.tick(QUIET / 2)
    }
  }
}

describe('tidyAfterCalls', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
  afterEach(() => mock.timers.reset())

  it('tidies up once after calls, and not between them', async () => {
    const program = new Program()
    await program.keepCalling(20 * QUIET)
    assert.equal(program.tidied, 0)
    mock.timers.tick(2 * QUIET)
    assert.equal(program.tidied, 1)
    mock.timers.tick(10 * LATEST)
    assert.equal(program.tidied, 1)
  })

  it('tidies up after a start without calls', () => {
    const program = new Program()
    mock.timers.tick(QUIET)
    assert.equal(program.tidied, 1)
  })

  it('tidies up now and then in a program that is always called', async () => {
    const program = new Program()
    await program.keepCalling(3 * LATEST)
    assert.equal(program.tidied, 3)
  })
})
