import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { INIT, PROTOCOL } from '../../src/fuse/protocol/constants.ts'
import { negotiate, UnsupportedKernelError } from '../../src/fuse/protocol/negotiation.ts'
import type { InitRequest } from '../../src/fuse/protocol/requests.ts'
import { HEADER } from '../support/fuse-traffic-bytes.ts'

const OLD_FLAGS = 0x3fffffbn
const NEW_FLAGS = 0x5fd73fffffbn

function init(major: number, minor: number, flags: bigint): InitRequest {
  return { op: 'INIT', header: { ...HEADER, length: 104, opcode: 26 }, major, minor, maxReadahead: 131072, flags }
}

describe('negotiate', () => {
  const minors: readonly { kernel: number; agreed: number }[] = [
    { kernel: 31, agreed: 31 },
    { kernel: 38, agreed: 38 },
    { kernel: 45, agreed: 45 },
    { kernel: 46, agreed: 45 },
    { kernel: 4294967295, agreed: 45 },
  ]
  for (const { kernel, agreed } of minors) {
    it(`speaks 7.${agreed} with a kernel of 7.${kernel}`, () => {
      assert.equal(negotiate(init(7, kernel, OLD_FLAGS), 0n).minor, agreed)
      assert.equal(negotiate(init(7, kernel, OLD_FLAGS), 0n).initAgain, false)
    })
  }

  const flags: readonly { title: string; theirs: bigint; wanted: bigint; agreed: bigint }[] = [
    { title: 'none where none is wanted', theirs: NEW_FLAGS, wanted: 0n, agreed: 0n },
    { title: 'what both have', theirs: OLD_FLAGS, wanted: INIT.ASYNC_READ | INIT.SUBMOUNTS, agreed: INIT.ASYNC_READ },
    {
      title: 'INIT_EXT beside a flag that travels in flags2',
      theirs: NEW_FLAGS,
      wanted: INIT.ASYNC_READ | INIT.HAS_RESEND,
      agreed: INIT.ASYNC_READ | INIT.INIT_EXT | INIT.HAS_RESEND,
    },
    { title: 'no INIT_EXT without one', theirs: NEW_FLAGS, wanted: INIT.MAX_PAGES, agreed: INIT.MAX_PAGES },
    { title: 'no HAS_RESEND before 7.40', theirs: OLD_FLAGS, wanted: INIT.HAS_RESEND | INIT.INIT_EXT, agreed: 0n },
  ]
  for (const { title, theirs, wanted, agreed } of flags) {
    it(`agrees on ${title}`, () => {
      assert.equal(negotiate(init(7, 45, theirs), wanted).flags, agreed)
    })
  }

  it('answers a newer major version with ours, and expects INIT again', () => {
    assert.deepEqual(negotiate(init(8, 1, 0n), INIT.ASYNC_READ), { minor: PROTOCOL.newestMinor, flags: 0n, initAgain: true })
  })

  for (const [major, minor] of [
    [7, 30],
    [7, 0],
    [6, 45],
    [0, 0],
  ] as const) {
    it(`refuses a kernel of ${major}.${minor}, saying what is needed`, () => {
      assert.throws(
        () => negotiate(init(major, minor, OLD_FLAGS), 0n),
        (error) =>
          error instanceof UnsupportedKernelError &&
          error.major === major &&
          error.minor === minor &&
          error.message ===
            `this kernel speaks version ${major}.${minor} of the FUSE protocol; needed is 7.31 or newer, that is Linux 5.4 or newer`,
      )
    })
  }
})
