// The process of a Spawner.
import { messageOf } from '../src/errors.ts'
import { timed } from './measure.ts'
import { type ByHand, spawned, type Words } from './spawned.ts'
import type { Answer } from './spawner.ts'

async function inTurn(programs: readonly Words[]): Promise<void> {
  for (const words of programs) await spawned(words)
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
