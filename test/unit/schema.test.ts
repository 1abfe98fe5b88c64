import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as v from 'valibot'
import { checked, jsonOrUndefined, parseJson } from '../../src/schema.ts'

const SCHEMA = v.strictObject(
  {
    version: v.literal(1),
    name: v.string(),
    inner: v.object({ flag: v.boolean(), count: v.pipe(v.number(), v.minValue(0, 'is negative')) }),
    list: v.array(v.string()),
  },
  'there are version, name, inner, list',
)
const VALUE = { version: 1, name: 'x', inner: { flag: true, count: 0 }, list: ['a'] }

describe('checked', () => {
  it('returns what fits, without the fields that an object may have beside', () => {
    assert.deepEqual(checked(SCHEMA, { ...VALUE, inner: { ...VALUE.inner, secret: 'x' } }), VALUE)
  })

  const WRONG: Readonly<Record<string, { change: object; says: string }>> = {
    'a key that is missing': { change: { name: undefined }, says: 'name is missing' },
    'a key of another type': { change: { name: ['secret'] }, says: 'name is not a text' },
    'a key inside another': { change: { inner: { flag: 'secret', count: 0 } }, says: 'inner.flag is neither true nor false' },
    'what the schema says itself': { change: { inner: { flag: true, count: -1 } }, says: 'inner.count is negative' },
    'an item of a list': { change: { list: ['a', 2] }, says: 'list.1 is not a text' },
    'a constant, with what stands there': { change: { version: 2 }, says: 'version 2 is not 1' },
    'a key that there is not, before one that is missing': {
      change: { name: undefined, nmae: 'secret' },
      says: "there is no 'nmae'; there are version, name, inner, list",
    },
  }
  for (const [name, { change, says }] of Object.entries(WRONG)) {
    it(`names ${name}`, () => {
      assert.throws(() => checked(SCHEMA, { ...VALUE, ...change }), { message: says })
    })
  }
})

describe('parseJson', () => {
  it('reads an object', () => {
    assert.deepEqual(parseJson(SCHEMA, JSON.stringify(VALUE)), VALUE)
  })

  for (const text of ['null', '[]', '1', '"secret"'])
    it(`refuses ${text}`, () => {
      assert.throws(() => parseJson(SCHEMA, text), { message: 'it is not a JSON object' })
    })

  it('refuses what is no JSON, and does not repeat it', () => {
    assert.throws(() => parseJson(SCHEMA, '{secret'), { message: 'it is not valid JSON' })
    assert.equal(jsonOrUndefined(SCHEMA, '{secret'), undefined)
  })
})
