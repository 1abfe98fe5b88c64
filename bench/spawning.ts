// The process of a Spawner.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { messageOf } from '../src/errors.ts'
import { timed } from './measure.ts'
import type { Answer, ByHand, Words } from './spawner.ts'

/** Runs each to its end. Rejects if one fails. */
async function inTurn(programs: readonly Words[]): Promise<void> {
  for (const [file, ...args] of programs) {
    const [status] = (await once(spawn(file, args, { stdio: 'ignore' }), 'exit')) as [number | null]
    if (status !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${status ?? 'a signal'}`)
  }
}

async function answer({ act, undo }: ByHand): Promise<Answer> {
  try {
    const took = await timed(() => inTurn(act))
    await inTurn(undo)
    return { took }
  } catch (error) {
    return { error: messageOf(error) }
  }
}

process.on('message', (work: ByHand) => {
  void answer(work).then((said) => process.send?.(said))
})
