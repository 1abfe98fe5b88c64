// The process of a Spawner.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { messageOf } from '../src/errors.ts'
import { timed } from './measure.ts'
import type { Answer, ByHand, Life, Question, Words } from './spawner.ts'

/**
 * Runs each to its end. Returns what resolves once no process holds a pipe any more that each was given as descriptor 3: a daemon that one leaves
 * behind has ended then. Rejects if one fails.
 */
async function inTurn(programs: readonly Words[]): Promise<() => Promise<unknown>> {
  const left: Promise<unknown>[] = []
  for (const [file, ...args] of programs) {
    const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })
    const pipe = child.stdio[3] as Readable
    left.push(once(pipe.resume(), 'close'))
    const [status] = (await once(child, 'exit')) as [number | null]
    if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? 'a signal'}`)
  }
  return () => Promise.all(left)
}

async function live({ act, undo }: ByHand): Promise<Life> {
  let ended: () => Promise<unknown> = () => Promise.resolve()
  const begun = await timed(async () => {
    ended = await inTurn(act)
  })
  const undone = await timed(async () => {
    await inTurn(undo)
    await ended()
  })
  return { act: begun, undo: undone }
}

async function answer(question: Question): Promise<Answer> {
  try {
    let lives: readonly Life[] = []
    const all = await timed(async () => {
      lives = await Promise.all(question.map(live))
    })
    return { lives, all }
  } catch (error) {
    return { error: messageOf(error) }
  }
}

process.on('message', (question: Question) => {
  void answer(question).then((said) => process.send?.(said))
})
