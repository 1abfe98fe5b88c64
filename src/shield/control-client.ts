import { connect } from 'node:net'
import type { InferOutput } from 'valibot'
import { codeOf } from '../errors.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { jsonOrUndefined } from '../schema.ts'
import { ANSWERS, type ControlRequest, REFUSED } from './control-protocol.ts'

/** The answer to a request of one kind. */
type AnswerTo<K extends ControlRequest['do']> = InferOutput<(typeof ANSWERS)[K]>

/**
 * What came of a question. `silent`: the shield has not answered in time. `ended`: no process listens. `cut`: it has ended before it has answered. `strange`: it is of a version that
 * says something else.
 */
export type Outcome<K extends ControlRequest['do']> =
  | { readonly kind: 'answered'; readonly answer: AnswerTo<K> }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'silent' | 'ended' | 'cut' | 'strange' }

/** Asks the shield that listens on a socket; `time`: milliseconds. Rejects with Node's error if the socket cannot be used (EACCES). */
export async function ask<K extends ControlRequest['do']>(
  socket: string,
  request: Extract<ControlRequest, { do: K }>,
  time: number,
): Promise<Outcome<K>> {
  const connection = connect(socket)
  try {
    const text = await settledWithin(exchange(connection, `${JSON.stringify(request)}\n`), time)
    if (text === 'late') return { kind: 'silent' }
    if (text === '') return { kind: 'cut' }
    const answer = jsonOrUndefined(ANSWERS[request.do], text)
    if (answer !== undefined) return { kind: 'answered', answer }
    const refused = jsonOrUndefined(REFUSED, text)
    return refused === undefined ? { kind: 'strange' } : { kind: 'refused', why: refused.why }
  } catch (error) {
    switch (codeOf(error)) {
      case 'ECONNREFUSED':
      case 'ENOENT':
        return { kind: 'ended' }
      case 'ECONNRESET':
      case 'EPIPE':
        return { kind: 'cut' }
      // Its queue of connections is full.
      case 'EAGAIN':
        return { kind: 'silent' }
      default:
        throw error
    }
  } finally {
    connection.destroy()
  }
}

/** Sends a text, and resolves to all that comes back. */
async function exchange(connection: ReturnType<typeof connect>, text: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    let answer = ''
    connection.setEncoding('utf8')
    connection.on('error', reject)
    connection.on('data', (piece: string) => (answer += piece))
    connection.on('end', () => resolve(answer))
    connection.on('close', () => resolve(answer))
    connection.on('connect', () => connection.write(text))
  })
}
