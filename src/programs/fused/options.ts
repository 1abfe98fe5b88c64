import { Option } from 'commander'
import { UsageError } from '../../errors.ts'
import type { LogFormat } from '../../log.ts'
import { socketPath } from '../../os/sockets/unix-socket.ts'
import { absolute } from '../absolute.ts'
import { commandLine, logFormatOption, parse, seconds } from '../command-line.ts'
import { pollTimeOption } from '../session-options.ts'
import { defaultStateDir, type EarlyOptions, FUSED_SOCKET } from './early-options.ts'

/** What a call of dummy-fused asks for. Times are milliseconds. */
export interface FusedOptions extends EarlyOptions {
  readonly socket: string
  readonly takeoverDeadline: number
  readonly drainDeadline: number
  readonly logFormat: LogFormat
  /** What becomes of the sessions when it is stopped for good: they end and are unmounted, or a standby serves them on. */
  readonly onStop: 'unmount' | 'hand-over'
  /** How long it waits for a standby then. */
  readonly handoverDeadline: number
}

interface Parsed {
  socket: string
  stateDir: string
  takeoverDeadline: number
  drainDeadline: number
  pollTime: number
  inject: string[]
  dieWithParent?: true
  logFormat: LogFormat
  onStop: FusedOptions['onStop']
  handoverDeadline: number
}

const NOTES = `
It takes over the sessions whose descriptors systemd, or dummy-fuse-csi keep, passes to it. SIGHUP: it answers the requests that it
has read, and ends; a successor takes over. SIGTERM: the same if systemd restarts it; otherwise it stops for good, and --on-stop says what
becomes of the sessions.

Exit status: 0 stopped by a signal or by the RPC Drain; 1 failed, for example because the socket is in use; 2 usage error.`

/** Reads the arguments of dummy-fused. Throws UsageError. */
export function parseFusedOptions(args: readonly string[], env: NodeJS.ProcessEnv): FusedOptions {
  const command = commandLine('dummy-fused', 'Serves FUSE sessions that survive this process and the CSI plugin.')
    .option('--socket <path>', 'socket to listen on, unless a listening socket is passed', FUSED_SOCKET)
    .option('--state-dir <folder>', 'folder of the records for a successor; $RUNTIME_DIRECTORY', defaultStateDir(env))
    .option('--takeover-deadline <seconds>', 'how long a session is held that only another version can serve', seconds(), 60)
    .option('--drain-deadline <seconds>', 'how long requests that were read may take before it ends for a successor', seconds(), 2)
    .addOption(
      new Option(
        '--on-stop <what>',
        'what becomes of the sessions when it is stopped for good: unmount ends them; hand-over leaves them to a standby, for a daemon in another container',
      )
        .choices(['unmount', 'hand-over'])
        .default('unmount'),
    )
    .option('--handover-deadline <seconds>', 'how long --on-stop hand-over waits for a standby', seconds(), 45)
    .addOption(pollTimeOption())
    .option(
      '--inject <fault>',
      'fail on purpose: no-resend, as on a kernel before 6.9',
      (value: string, all: string[]) => [...all, value],
      [],
    )
    .addOption(new Option('--die-with-parent', 'be killed when the process that started this one ends').hideHelp())
    .addOption(logFormatOption())
    .addHelpText('after', NOTES)
  parse(command, args)
  const parsed = command.opts<Parsed>()
  const unknown = parsed.inject.find((fault) => fault !== 'no-resend')
  if (unknown !== undefined) throw new UsageError(`unknown fault '${unknown}' for --inject; there is no-resend`)
  return {
    socket: socketPath(parsed.socket),
    stateDir: absolute(parsed.stateDir),
    takeoverDeadline: parsed.takeoverDeadline * 1000,
    drainDeadline: parsed.drainDeadline * 1000,
    pollTime: parsed.pollTime,
    withoutResend: parsed.inject.length > 0,
    dieWithParent: parsed.dieWithParent ?? false,
    logFormat: parsed.logFormat,
    onStop: parsed.onStop,
    handoverDeadline: parsed.handoverDeadline * 1000,
  }
}
