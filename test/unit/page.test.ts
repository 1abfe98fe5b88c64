import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { page } from '../../src/csi/page.ts'
import { VolumeError } from '../../src/volumes/errors.ts'

const list = (ids: readonly string[]): { id: string }[] => [...new Set(ids)].sort((a, b) => (a < b ? -1 : 1)).map((id) => ({ id }))

describe('page', () => {
  it('gives every item once, in order, whatever the size of the pages', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 })), fc.integer({ min: 0, max: 10 }), (ids, most) => {
        const items = list(ids)
        const seen: { id: string }[] = []
        let token = ''
        let pages = 0
        do {
          const next = page(items, most, token)
          if (most > 0) assert.ok(next.items.length <= most)
          seen.push(...next.items)
          token = next.nextToken
          assert.ok(++pages <= items.length + 1)
        } while (token !== '')
        assert.deepEqual(seen, items)
      }),
    )
  })

  it('neither repeats nor leaves out what stays, while others come and go between two pages', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ minLength: 1 })),
        fc.uniqueArray(fc.string({ minLength: 1 })),
        fc.nat(),
        (stay, change, most) => {
          const passing = change.filter((id) => !stay.includes(id))
          const size = 1 + (most % 3)
          const first = page(list([...stay, ...passing]), size, '')
          const second = first.nextToken === '' ? { items: [] } : page(list(stay), 0, first.nextToken)
          const seen = [...first.items, ...second.items].map(({ id }) => id).filter((id) => stay.includes(id))
          assert.deepEqual(
            seen,
            list(stay).map(({ id }) => id),
          )
        },
      ),
    )
  })

  it('refuses a token that is none of its own, and a negative size', () => {
    for (const [most, token, kind] of [
      [1, 'garbage', 'badToken'],
      [1, '0', 'badToken'],
      [-1, '', 'invalid'],
    ] as const) {
      assert.throws(
        () => page([], most, token),
        (error) => error instanceof VolumeError && error.kind === kind,
      )
    }
  })
})
