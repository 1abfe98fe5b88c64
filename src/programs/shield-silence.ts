import { basename } from 'node:path'
import { messageOf } from '../errors.ts'
import { ask } from '../shield/control-client.ts'
import { shieldAt } from '../shield/control-folder.ts'
import type { ShieldStatus } from '../shield/control-protocol.ts'
import { SHIELD_LIMITS } from './shield/limits.ts'

/** No message names a process: its id counts in the container of the plugin alone. */
const IF_IT_HANGS = "if it hangs, kill it where the plugin runs ('dummy-fuse-csi shield status' names its process)"

/** Why the mount of a shield that runs does not answer, as a part of a sentence for people. Resolves within `time` milliseconds, at most a second, and never rejects. */
export async function whySilent(path: string, time = Infinity): Promise<string> {
  try {
    const found = shieldAt(path)
    if (found === undefined) return 'its shield has no folder below /run/dummy-fuse-shield any more, and cannot be asked'
    const silence = Math.min(SHIELD_LIMITS.silence, time)
    const outcome = await ask<'status'>(found.socket, { do: 'status' }, silence)
    switch (outcome.kind) {
      case 'answered':
        return answeredWords(outcome.answer)
      case 'silent':
        return `its shield has not answered within ${(silence / 1000).toFixed(1)} s; ${IF_IT_HANGS}: its successor goes on`
      case 'ended':
      case 'cut':
        return 'its shield was killed, and its successor does not answer yet'
      case 'refused':
      case 'strange':
        return 'its shield is of another version'
    }
  } catch (error) {
    return `its shield cannot be asked: ${messageOf(error)}`
  }
}

function answeredWords({ state, command, daemon, away, options }: ShieldStatus): string {
  const program = basename(command[0] ?? 'its program')
  if (away !== null)
    return `no ${program} has served it for ${away.seconds} s (${away.why}); its shield starts it again by itself, and gives up after ${options.giveUp} s`
  if (daemon === null) return `its shield is ${state}`
  return `its ${program} does not answer; ${IF_IT_HANGS}: its shield starts it again, and no reader fails`
}
