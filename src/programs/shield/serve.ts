import { ProgramError } from '../../errors.ts'
import type { Logger } from '../../log.ts'
import type { InheritedDescriptor } from '../../os/descriptors/inherited.ts'
import type { Libc } from '../../os/libc.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { exitAtOnce } from '../../os/processes/exit.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { Launcher } from '../../os/processes/launcher.ts'
import { HolderLink } from '../../holder/holder-link.ts'
import { heldName } from '../../holder/held-name.ts'
import type { ServiceManager } from '../../sd/service-manager.ts'
import { ControlFolder } from '../../shield/control-folder.ts'
import type { ShieldKeeper } from '../../shield/control-protocol.ts'
import { ControlServer } from '../../shield/control-server.ts'
import type { SessionFacts } from '../../shield/session-facts.ts'
import { Shield, type ShieldEnd } from '../../shield/shield.ts'
import { type Left, Succession } from '../../shield/succession.ts'
import { type Allowed, preflight } from '../dummy-fuse/preflight.ts'
import { launcherImage } from '../launcher-image.ts'
import { DAEMON_STOPPING, nextStopSignal } from '../stop-signal.ts'
import { Commands, confinementOf } from './commands.ts'
import { ShieldControl } from './control.ts'
import { SHIELD_LIMITS } from './limits.ts'
import type { Messages } from './messages.ts'
import { losesWrites, type ShieldOptions } from './options.ts'

/** What the mount point of a shield may be. */
export function allowedMountPoint({ nonempty }: Pick<ShieldOptions, 'nonempty'>): Allowed {
  return { nonempty, nonemptyOption: '--nonempty', links: 'follow' }
}

/** What a shield needs from outside. */
export interface ServeContext {
  readonly env: NodeJS.ProcessEnv
  readonly libc: Libc
  readonly messages: Messages
  readonly manager: ServiceManager
  /** The process of a keeper of its own. */
  readonly keeper: number | undefined
  /** What the service manager has passed. */
  readonly inherited: readonly InheritedDescriptor[]
}

/**
 * Mounts, or goes on with the mount of a shield that was killed. Serves until it is unmounted, stopped or given up. Returns the exit status. Throws ProgramError if it cannot
 * mount.
 */
export async function serve(
  options: ShieldOptions,
  { env, libc, messages, manager, keeper, inherited }: ServeContext,
): Promise<number> {
  const signal = nextStopSignal(DAEMON_STOPPING)
  const { log } = messages
  const table = openMountTable(libc)
  const succession = new Succession(libc, manager, SHIELD_LIMITS.store, log, holderOf(options, libc, log))
  const left = (await succession.left(inherited)) ?? (options.resume ? await resumed(succession, options) : undefined)
  const { stableInodes, readOnly, user } = left === undefined ? options : keptOptions(options, left.state.facts, log)
  const confinement = user === undefined ? undefined : confinementOf(user, env)
  const commands = Commands.of(options.command, { confinement, targets: options.targets }, env, left?.state.facts)
  try {
    const mountpoint =
      left?.state.facts.mountpoint ?? (await preflight(options.mountpoint, allowedMountPoint(options), () => table))
    exitAtOnce(libc)
    const launcher = new Launcher(libc, launcherImage('shield'))
    const keptBy = keeperOf(manager, keeper)
    const folder = await ControlFolder.claim(libc, mountpoint, keptBy)
    try {
      const { mountpoint: given, giveUp } = options
      const called = options.command.words
      const times = { ...SHIELD_LIMITS, giveUp }
      const standing = (): void => messages.leaveTerminal()
      const shield = new Shield(
        {
          libc,
          launcher,
          table,
          log,
          output: messages.ofDaemons,
          times,
          succession,
          left,
          standing,
          collectGarbage: () => collectGarbage(libc),
        },
        { given, mountpoint, called, command: commands.current, stableInodes, readOnly, user: user ?? null },
      )
      const keeps = (): ShieldKeeper => (succession.keeps ? keptBy : null)
      const control = new ShieldControl({
        shield,
        commands,
        mountpoint,
        options: { ...options, stableInodes, readOnly, user },
        keeper: keeps,
        log,
      })
      const server = await ControlServer.open(libc, folder.socket, log, async (request) => await control.answer(request))
      try {
        const end = await shield.run(Promise.race([signal, control.stop]))
        return finish(end, mountpoint, log)
      } finally {
        commands.removeTarget()
        control.ended()
        await server.close()
      }
    } finally {
      folder.remove()
    }
  } finally {
    commands.removeTarget()
  }
}

/**
 * A successor goes on with the mount that is there, and with what that was mounted with, whatever it is told: its users would lose it otherwise. It looks nothing up on it,
 * because nobody would answer. Throws ProgramError if the mount is another one, or a daemon would be given writes that it may lose.
 */
function keptOptions(
  options: ShieldOptions,
  facts: SessionFacts,
  log: Logger,
): Pick<ShieldOptions, 'stableInodes' | 'readOnly' | 'user'> {
  const { given = options.mountpoint, stableInodes = false, readOnly = false } = facts
  if (given !== options.mountpoint)
    throw new ProgramError(
      `the shield of ${given} that was killed had that mount point; start it as before, or stop the service that keeps its mount`,
      STATUS.usage,
    )
  const lost = readOnly ? undefined : losesWrites(options.command.words)
  if (lost !== undefined)
    throw new ProgramError(
      `the shield of ${given} that was killed had no --read-only, and ${lost}; stop the service that keeps its mount, and start it anew`,
      STATUS.usage,
    )
  const user = facts.user === undefined ? options.user : (facts.user ?? undefined)
  const keep = (is: boolean, asWanted: boolean, option: string): void => {
    if (asWanted) return
    const what = is ? option : `no ${option}`
    log.warning(`the shield of ${given} that was killed had ${what}: that stays so until the shield is stopped, and started anew`)
  }
  keep(stableInodes, stableInodes === options.stableInodes, '--stable-inodes')
  keep(readOnly, readOnly === options.readOnly, '--read-only')
  keep(user !== undefined, user === options.user, `--user${user === undefined ? '' : ` ${user}`}`)
  return { stableInodes, readOnly, user }
}

function holderOf({ holder: socket, mountpoint }: ShieldOptions, libc: Libc, log: Logger): HolderLink | undefined {
  if (socket === undefined) return undefined
  return new HolderLink({ libc, socket, name: heldName(mountpoint), patience: SHIELD_LIMITS.holderPatience, log })
}

/** What the holder has. Throws ProgramError. */
async function resumed(succession: Succession, { holder = '', mountpoint }: ShieldOptions): Promise<Left> {
  const left = await succession.held(SHIELD_LIMITS.fetch)
  if (left === undefined)
    throw new ProgramError(
      `the holder on ${holder} has no session of ${mountpoint}; unmount what is there, and start the shield without --resume`,
      STATUS.failed,
    )
  return left
}

/**
 * V8 also keeps the room for what it may need next, unless memory is asked for as a last resort. The memory of buffers goes back to glibc, which keeps what lies below memory
 * in use (malloc_trim(3)).
 */
function collectGarbage(libc: Libc): void {
  globalThis.gc?.({ type: 'major', flavor: 'last-resort' })
  libc.foreign('int malloc_trim(ulong)')(0)
}

function keeperOf({ supervisor }: ServiceManager, keeper: number | undefined): ShieldKeeper {
  if (keeper !== undefined) return { name: 'dummy-fuse-keep', pid: keeper }
  return supervisor === 'none' ? null : { name: supervisor, pid: null }
}

function finish(end: ShieldEnd, mountpoint: string, log: Logger): number {
  switch (end) {
    case 'stopped':
      log.info(`unmounted ${mountpoint}`)
      return STATUS.ok
    case 'unmounted':
      log.info(`${mountpoint} was unmounted`)
      return STATUS.ok
    case 'aborted':
      log.error(`the connection of ${mountpoint} was aborted; what is mounted there is dead: umount ${mountpoint}`)
      return STATUS.aborted
    case 'given up':
      log.error(
        `no daemon serves ${mountpoint}, and what is mounted there is dead; repair the daemon, umount ${mountpoint}, and start again`,
      )
      return STATUS.aborted
  }
}
