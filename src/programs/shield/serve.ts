import { descriptorSink, Logger, type LogSink } from '../../log.ts'
import { AddonLoader } from '../../os/addons.ts'
import { Libc } from '../../os/libc.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { exitAtOnce } from '../../os/processes/exit.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { Launcher } from '../../os/processes/launcher.ts'
import { oneLine } from '../../printable.ts'
import { ControlFolder } from '../../shield/control-folder.ts'
import { ControlServer } from '../../shield/control-server.ts'
import { Shield, type ShieldEnd } from '../../shield/shield.ts'
import { backgroundSink, openLogFile } from '../background-log.ts'
import type { StarterChannel } from '../dummy-fuse/channel.ts'
import { type Allowed, preflight } from '../dummy-fuse/preflight.ts'
import { launcherImage } from '../launcher-image.ts'
import { DAEMON_STOPPING, nextStopSignal } from '../stop-signal.ts'
import { Commands, executableOf } from './commands.ts'
import { ShieldControl } from './control.ts'
import { SHIELD_LIMITS } from './limits.ts'
import type { ShieldOptions } from './options.ts'

/** Where a shield mounts. */
export const MOUNT_POINT: Allowed = { nonempty: false, links: 'follow' }

/** What a shield needs from outside. */
export interface ServeContext {
  readonly env: NodeJS.ProcessEnv
  /** In the background: where the process that started this one waits for the mount. */
  readonly channel: StarterChannel | undefined
}

/** Mounts, and serves until it is unmounted, stopped or given up. Returns the exit status. Throws ProgramError if it cannot mount. */
export async function serve(options: ShieldOptions, { env, channel }: ServeContext): Promise<number> {
  const signal = nextStopSignal(DAEMON_STOPPING)
  const file = executableOf(options.command, env)
  const libc = new Libc(new AddonLoader())
  const table = openMountTable(libc)
  const mountpoint = await preflight(options.mountpoint, MOUNT_POINT, () => table)
  exitAtOnce(libc)
  const messages = new Messages(libc, channel === undefined ? 'foreground' : 'background', options.logFile)
  const { log } = messages
  const launcher = new Launcher(libc, launcherImage('shield'))
  const folder = await ControlFolder.claim(libc, mountpoint)
  const commands = new Commands(file, options.command)
  try {
    const times = { ...SHIELD_LIMITS, giveUp: options.giveUp }
    const order = { mountpoint, command: commands.current, stableInodes: options.stableInodes, readOnly: options.readOnly }
    const shield = new Shield({ libc, launcher, table, log, output: messages.ofDaemons(), times }, order)
    const control = new ShieldControl({ shield, commands, mountpoint, options, log })
    const server = await ControlServer.open(libc, folder.socket, log, async (request) => await control.answer(request))
    try {
      const lost = starterLost(shield, channel, messages)
      const end = await shield.run(Promise.race([signal, lost, control.stop]))
      return finish(end, mountpoint, log)
    } finally {
      commands.removeTarget()
      control.ended()
      await server.close()
    }
  } finally {
    commands.removeTarget()
    folder.remove()
  }
}

/**
 * Tells the process that waits for the mount that it stands, and lets go of that process. Resolves only if it goes away before: a mount that nobody waits for must not
 * appear.
 */
async function starterLost(shield: Shield, channel: StarterChannel | undefined, messages: Messages): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  if (channel === undefined) {
    await promise
    return
  }
  using watch = channel.onLost(() => resolve(undefined))
  if ((await Promise.race([promise, shield.mounted.then(() => 'mounted')])) === undefined) return
  if (!(await channel.say('ready'))) return
  watch[Symbol.dispose]()
  channel.release()
  messages.leaveTerminal()
  await new Promise(() => undefined)
}

/** Where the messages of a shield and of its daemons go. */
class Messages {
  readonly log: Logger
  readonly #libc: Libc
  readonly #place: 'foreground' | 'background'
  readonly #logFile: number | undefined
  #sink: LogSink = descriptorSink(2)
  /** In the background, until the mount stands: the process that waits shows failures alone. */
  #waitedFor: boolean

  /** Throws ProgramError if the log file cannot be written. */
  constructor(libc: Libc, place: 'foreground' | 'background', logFile: string | undefined) {
    this.#libc = libc
    this.#place = place
    this.#waitedFor = place === 'background'
    this.#logFile = logFile === undefined ? undefined : openLogFile(logFile)
    this.log = new Logger((line, level) => {
      if (level !== 'info' || !this.#waitedFor) this.#sink(line, level)
    })
  }

  /** Takes the lines of daemons; undefined: they write to the terminal themselves. */
  ofDaemons(): ((line: string, daemon: string) => void) | undefined {
    if (this.#place === 'foreground') return undefined
    return (line, daemon) => {
      if (this.#waitedFor) this.#sink(oneLine(line), 'info')
      else this.log.info(`${daemon}: ${line}`)
    }
  }

  /** From now on messages go to the log file, or to syslog. */
  leaveTerminal(): void {
    this.#sink = backgroundSink('dummy-shield', () => this.#libc, this.#logFile)
    this.#waitedFor = false
  }
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
