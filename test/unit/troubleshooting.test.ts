import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { messagesOfSource } from '../support/messages.ts'
import { ROOT } from '../support/paths.ts'

const PAGE = 'docs/troubleshooting.md'

const { messages: source, unknownErrors } = messagesOfSource()

/** The messages in the first column of the page's tables. */
function messagesOfPage(text: string): readonly string[] {
  const rows = text.split('\n').filter((line) => line.startsWith('| `'))
  return rows.flatMap((row) => {
    const [, first = ''] = row.split(/(?<!\\)\|/)
    return [...first.matchAll(/`([^`]+)`/g)].map(([, message = '']) => message.replaceAll('\\|', '|'))
  })
}

describe('docs/troubleshooting.md', () => {
  const page = messagesOfPage(readFileSync(join(ROOT, PAGE), 'utf8'))

  it('has a row for every message of an error, a warning and a finding', () => {
    const missing = source.filter(({ text }) => !page.includes(text))
    assert.deepEqual(
      missing.map(({ text, file }) => `src/${file}: ${text}`),
      [],
      `${PAGE} lacks these`,
    )
  })

  it('has no row for a message that is not in the source', () => {
    const texts = new Set(source.map(({ text }) => text))
    assert.deepEqual(
      page.filter((message) => !texts.has(message)),
      [],
      `${PAGE} has these, and no program writes them`,
    )
  })

  it('has each message once', () => {
    assert.deepEqual(
      page.filter((message, index) => page.indexOf(message) !== index),
      [],
    )
  })
})

describe('the search for messages', () => {
  it('knows each class of errors', () => {
    assert.deepEqual(unknownErrors, [], 'name them in test/support/messages.ts')
  })

  const texts = new Map(source.map(({ text, file }) => [text, file]))

  it('finds those that are made in each of the ways there are', () => {
    const known = {
      'cannot open /dev/fuse: …; …': 'hosts/fuse-device.ts', // returned by a function
      'this dummy-fused ends; call again, a successor answers': 'fused/mounter.ts', // a constant
      "run 'modprobe fuse', or pass the device into this container": 'programs/dummy-fuse/preflight.ts', // one of two, for a part
      'cannot mount …': 'volumes/stager.ts', // given to a function
      'raise the limit of open files (LimitNOFILE=, ulimit -n)': 'errors.ts', // out of a table
      'the socket … is gone, and clients cannot connect': 'os/sockets/socket-guard.ts', // a part of a line that may be left out
      'its descriptor was not kept': 'fused/takeover.ts', // a reason that another file writes
    }
    for (const [text, file] of Object.entries(known)) assert.equal(texts.get(text), file, text)
  })
})
