import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf, ProgramError } from '../../errors.ts'
import { AddonLoader } from '../../os/addons.ts'
import { Libc } from '../../os/libc.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { walk } from '../../os/mounts/path-walk.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { processEnds, processStat } from '../../os/processes/processes.ts'
import { oneLine } from '../../printable.ts'
import { ask, type Outcome } from '../../shield/control-client.ts'
import { allShields, forgetKilled, type FoundShield, lookAgain, mountNamespace, shieldAt } from '../../shield/control-folder.ts'
import type { ControlRequest, ShieldKeeper, UpgradeReport } from '../../shield/control-protocol.ts'
import { refuseDead } from '../dummy-fuse/mountpoint.ts'
import { print } from '../print.ts'
import type { ClientOptions } from './client-options.ts'
import { executableOf } from './commands.ts'
import { SHIELD_LIMITS } from './limits.ts'
import { asText, type ShownShield } from './status-text.ts'

/** Carries a command about a shield out, and returns its exit status. Throws ProgramError. */
export async function runClient(options: ClientOptions, env: NodeJS.ProcessEnv): Promise<number> {
  if (process.geteuid?.() !== 0)
    throw new ProgramError('the shields of this machine answer root alone; run it as root', STATUS.notRoot)
  switch (options.word) {
    case 'status':
      return await status(options)
    case 'stop':
      return await stop(options)
    case 'upgrade':
      return await upgrade(options, env)
  }
}

type OptionsOf<W extends ClientOptions['word']> = Extract<ClientOptions, { word: W }>

async function status({ mountpoint, json, wait }: OptionsOf<'status'>): Promise<number> {
  const wanted = mountpoint === undefined ? allShields() : [await shieldOf(mountpoint)]
  const shown = await Promise.all(wanted.map(async (found) => await look(found, wait)))
  if (json) await print(`${JSON.stringify(mountpoint === undefined ? { shields: shown } : shown[0], null, 2)}\n`)
  else
    await print(shown.length === 0 ? 'no shields on this machine\n' : shown.map((one) => asText(one, mountNamespace())).join('\n'))
  return shown.every(({ state }) => state !== 'hung' && state !== 'killed' && state !== 'strange') ? STATUS.ok : STATUS.failed
}

/** What starts a successor of a shield that was killed; null if nothing does. */
function keeperOf({ record: { keeper } }: FoundShield): ShieldKeeper {
  return keeper?.pid != null && processStat(keeper.pid) === undefined ? null : keeper
}

/** Asks a shield for something that its successor may be asked for too: where one was killed and is kept, its successor is waited for. `time`: milliseconds. */
async function askAny<K extends 'status' | 'stop'>(
  first: FoundShield,
  request: Extract<ControlRequest, { do: K }>,
  time: number,
): Promise<{ readonly found: FoundShield; readonly outcome: Outcome<K> }> {
  const end = performance.now() + time
  for (let found = first; ;) {
    const outcome = await ask<K>(found.socket, request, Math.max(end - performance.now(), SHIELD_LIMITS.look))
    const { kind } = outcome
    const isGone = kind === 'cut' || (kind === 'ended' && keeperOf(found) !== null)
    const keeper = keeperOf(found)
    // Nobody knows of a service manager whether it starts one.
    const patience = keeper?.pid == null ? Math.min(time, SHIELD_LIMITS.answer) : time
    if (!isGone || performance.now() > end - time + patience) return { found, outcome }
    await sleep(SHIELD_LIMITS.look)
    const now = lookAgain(found)
    if (now === undefined) return { found, outcome }
    found = now
  }
}

async function look(first: FoundShield, wait: number): Promise<ShownShield> {
  const { found, outcome } = await askAny<'status'>(first, { do: 'status' }, wait)
  const { mountpoint, mountNamespace, pid } = found.record
  const keeper = keeperOf(found)
  switch (outcome.kind) {
    case 'answered': {
      const { ok: _ok, ...answer } = outcome.answer
      return { ...answer, mountNamespace }
    }
    case 'silent':
      return { mountpoint, mountNamespace, pid, state: 'hung', keeper }
    case 'ended':
    case 'cut':
      return { mountpoint, mountNamespace, pid, state: 'killed', keeper }
    case 'refused':
    case 'strange':
      return { mountpoint, mountNamespace, pid, state: 'strange', keeper }
  }
}

async function stop({ mountpoint, wait }: OptionsOf<'stop'>): Promise<number> {
  const end = performance.now() + wait
  const { found, outcome } = await askAny<'stop'>(await shieldOf(mountpoint), { do: 'stop' }, wait)
  const { mountpoint: place, pid, keeper } = found.record
  if (outcome.kind === 'ended' && keeperOf(found)?.pid == null) {
    const isForgotten = forgetKilled(new Libc(new AddonLoader()), found)
    // A service manager may have been told not to start another one.
    if (isForgotten && keeperOf(found) !== null)
      throw new ProgramError(
        `${place}: process ${pid}, the shield, was killed, and has no successor; umount ${place} if a dead mount is there, and start its unit again`,
        STATUS.failed,
      )
  }
  if (outcome.kind === 'silent') throw new ProgramError(`${place}: ${await whyNotEnded(found, wait)}`, STATUS.failed)
  const { left, openFiles } = answerOf(found, outcome)
  for (const one of [pid, keeper?.pid]) {
    const ours = one == null ? undefined : processStat(one)
    if (ours !== undefined && !(await processEnds(ours, Math.max(end - performance.now(), SHIELD_LIMITS.processEnd))))
      throw new ProgramError(
        `${place}: process ${one}, the shield, has unmounted and has not ended; look at /proc/${one}/stack`,
        STATUS.failed,
      )
  }
  if (openFiles > 0) await print(`${place}: files that were open, and whose users get errors: ${openFiles}\n`)
  if (left.length > 0) throw new ProgramError(`${place}: ${left.join('; ')}`, STATUS.failed)
  return STATUS.ok
}

/** What is known of a shield that has not ended in time. */
async function whyNotEnded(found: FoundShield, wait: number): Promise<string> {
  const { pid } = found.record
  const shown = await look(found, SHIELD_LIMITS.answer)
  const time = `has not ended within ${wait / 1000} s`
  if (shown.state === 'hung')
    return `process ${pid}, the shield, ${time} and does not answer; kill -9 ${pid}, then ${shown.keeper === null ? 'umount its mount point' : 'call again: its successor can be stopped'}`
  const daemon = 'daemon' in shown ? (shown.daemon?.pid ?? 0) : 0
  const state = daemon === 0 ? undefined : processStat(daemon)?.state
  return state === undefined
    ? `process ${pid}, the shield, ${time}; call again`
    : `process ${pid}, the shield, ${time}: it waits for its daemon, process ${daemon}, which is in state ${state}; call again`
}

async function upgrade(
  { mountpoint, command, stopFirst, wait, drain }: OptionsOf<'upgrade'>,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const found = await shieldOf(mountpoint)
  const next = command === undefined ? {} : { command: { file: executableOf(command, env), words: [...command.words] } }
  const request = { do: 'upgrade', ...next, stopFirst, wait, drain } as const
  const { leave, end, killed, answer } = SHIELD_LIMITS
  const outcome = await ask<'upgrade'>(found.socket, request, wait + 2 * drain + leave + end + 2 * killed + answer)
  await print(`${found.record.mountpoint}: ${upgraded(answerOf(found, outcome))}\n`)
  return STATUS.ok
}

function upgraded({ pid, incarnation, held, longestHold, resent, flushed }: UpgradeReport): string {
  return `process ${pid} serves, as daemon ${incarnation}; requests held: ${held}, for ${longestHold.toFixed(1)} ms at the most; resent: ${resent}; open files flushed: ${flushed}`
}

/** Throws ProgramError for anything but an answer. */
function answerOf<K extends ControlRequest['do']>(
  found: FoundShield,
  outcome: Outcome<K>,
): Extract<Outcome<K>, { kind: 'answered' }>['answer'] {
  const { mountpoint, pid } = found.record
  switch (outcome.kind) {
    case 'answered':
      return outcome.answer
    case 'refused':
      throw new ProgramError(`${mountpoint}: refused: ${outcome.why}`, STATUS.failed)
    case 'silent':
      throw new ProgramError(
        `${mountpoint}: process ${pid}, the shield, has not answered in time; it hangs, or is stopped`,
        STATUS.failed,
      )
    case 'ended':
      if (keeperOf(found) !== null)
        throw new ProgramError(
          `${mountpoint}: process ${pid}, the shield, was killed, and has no successor yet; call again`,
          STATUS.failed,
        )
      throw new ProgramError(
        `${mountpoint}: process ${pid}, the shield, was killed; umount ${mountpoint} if a dead mount is there, and start again`,
        STATUS.failed,
      )
    case 'cut':
      throw new ProgramError(
        `${mountpoint}: process ${pid}, the shield, has ended before it has answered; 'shield status ${mountpoint}' shows whether another goes on, and by which command`,
        STATUS.failed,
      )
    case 'strange':
      throw new ProgramError(
        `${mountpoint}: process ${pid}, the shield, is of another version; use the executable that it was started by`,
        STATUS.failed,
      )
  }
}

/** Throws ProgramError if there is none. Asks nothing of the mount at the mount point. */
async function shieldOf(path: string): Promise<FoundShield> {
  const mountpoint = await withoutLinks(path)
  const found = shieldAt(mountpoint)
  if (found !== undefined) return found
  throw new ProgramError(
    `${mountpoint}: there is no shield of this mount point in this mount namespace; 'shield status' lists those that there are`,
    STATUS.failed,
  )
}

async function withoutLinks(path: string): Promise<string> {
  try {
    const steps = walk(openMountTable(new Libc(new AddonLoader())), path, { last: 'follow' })
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value
      await refuseDead(path, step.value.mount.fsType, step.value.path)
    }
  } catch (error) {
    if (error instanceof ProgramError) throw error
    throw new ProgramError(
      `${path}: cannot be reached: ${oneLine(codeOf(error) ?? messageOf(error))}; name another path`,
      STATUS.failed,
    )
  }
}
