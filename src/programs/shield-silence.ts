import { basename } from 'node:path'
import { messageOf } from '../errors.ts'
import { ask } from '../shield/control-client.ts'
import { shieldAt } from '../shield/control-folder.ts'
import type { ShieldStatus } from '../shield/control-protocol.ts'
import { SHIELD_LIMITS } from './shield/limits.ts'

/** Why the mount of a shield that runs does not answer, as a part of a sentence for people. Resolves within a second or two, and never rejects. */
export async function whySilent(path: string): Promise<string> {
  try {
    const found = shieldAt(path)
    if (found === undefined) return 'its shield has no folder below /run/dummy-fuse-shield any more, and cannot be asked'
    const { pid } = found.record
    const { silence } = SHIELD_LIMITS
    const outcome = await ask<'status'>(found.socket, { do: 'status' }, silence)
    switch (outcome.kind) {
      case 'answered':
        return answeredWords(outcome.answer)
      case 'silent':
        return `its shield, process ${pid}, has not answered within ${silence / 1000} s; if it hangs, kill -9 ${pid}: its successor goes on`
      case 'ended':
      case 'cut':
        return `its shield, process ${pid}, was killed, and its successor does not answer yet`
      case 'refused':
      case 'strange':
        return `its shield, process ${pid}, is of another version`
    }
  } catch (error) {
    return `its shield cannot be asked: ${messageOf(error)}`
  }
}

function answeredWords({ pid, state, command, daemon, away, options }: ShieldStatus): string {
  const program = basename(command[0] ?? 'its program')
  if (away !== null)
    return `no ${program} has served it for ${away.seconds} s (${away.why}); its shield, process ${pid}, starts it again by itself, and gives up after ${options.giveUp} s`
  if (daemon === null) return `its shield, process ${pid}, is ${state}`
  return `${program}, process ${daemon.pid}, does not answer; if it hangs, kill -9 ${daemon.pid}: its shield starts it again, and no reader fails`
}
