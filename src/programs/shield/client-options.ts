import { UsageError } from '../../errors.ts'
import { absolute } from '../absolute.ts'
import { commandLine, parse, seconds } from '../command-line.ts'
import { cutAtCommand, type DaemonWords, parseCommand } from './options.ts'

/** The words by which a call of shield is a command about a shield that runs. */
export type ClientWord = 'status' | 'stop' | 'upgrade'

/** A command about a shield that runs; the mount point is absolute. Times are milliseconds. */
export type ClientOptions =
  | { readonly word: 'status'; readonly mountpoint: string | undefined; readonly json: boolean; readonly wait: number }
  | { readonly word: 'stop'; readonly mountpoint: string; readonly wait: number }
  | {
      readonly word: 'upgrade'
      readonly mountpoint: string
      /** Undefined: the one that runs. */
      readonly command: DaemonWords | undefined
      readonly stopFirst: boolean
      readonly wait: number
      readonly drain: number
    }

const STATUS_HELP = `
Exit status: 0 each shield has answered, whatever its state; 1 there is no shield of MOUNTPOINT, or one does not answer or was killed; 2 usage
error; 9 not root.`

const STOP_HELP = `
Exit status: 0 the shield has ended, and nothing is left of it; 1 there is none, it has not ended in time, or something is left; 2 usage
error; 9 not root.`

const UPGRADE_HELP = `
The new daemon is started beside the old one and has to agree with it about the mount. Then new requests are held, the old daemon answers
what it has, stores what was written to open files, and ends. The new daemon gets its first request after that. If anything fails before
the old daemon is asked to end, the old one goes on. COMMAND is what restarts use from then on; its paths are relative to the working
directory of the shield. Without COMMAND the daemon is started by the same command again.

  dummy-fuse-csi shield upgrade /srv/view -- /opt/bindfs-2/bin/bindfs -f /srv/data {target}

Exit status: 0 the new daemon serves; 1 the upgrade is refused, or there is no shield of MOUNTPOINT; 2 usage error; 9 not root.`

/** Whether a call's first argument is such a word. */
export function isClientWord(word: string | undefined): word is ClientWord {
  return word === 'status' || word === 'stop' || word === 'upgrade'
}

/** Reads the arguments behind the word. Throws UsageError. */
export function parseClientOptions(word: ClientWord, args: readonly string[]): ClientOptions {
  switch (word) {
    case 'status':
      return parseStatus(args)
    case 'stop':
      return parseStop(args)
    case 'upgrade':
      return parseUpgrade(args)
  }
}

function parseStatus(args: readonly string[]): ClientOptions {
  const command = commandLine('dummy-fuse-csi shield status', 'Shows the state of the shield of a mount point, or of all shields.')
    .usage('[options] [MOUNTPOINT]')
    .argument('[mountpoint]', 'as the shield was started for it; it may be dead or covered')
    .option('--json', 'print one JSON object')
    .option('--wait <seconds>', 'a shield that has not answered within this time hangs', seconds(0.1), 5)
    .addHelpText('after', STATUS_HELP)
  refuseCommand('status', args)
  parse(command, args)
  const { json = false, wait } = command.opts<{ json?: true; wait: number }>()
  const [mountpoint] = command.args
  return { word: 'status', mountpoint: mountpoint === undefined ? undefined : named(mountpoint), json, wait: wait * 1000 }
}

function parseStop(args: readonly string[]): ClientOptions {
  const command = commandLine(
    'dummy-fuse-csi shield stop',
    'Unmounts, ends the daemon and the shield, as SIGTERM does, and waits for it.',
  )
    .usage('[options] MOUNTPOINT')
    .argument('<mountpoint>', 'as the shield was started for it')
    .option('--wait <seconds>', 'how long the end is waited for', seconds(0.1), 60)
    .addHelpText('after', STOP_HELP)
  refuseCommand('stop', args)
  parse(command, args)
  const [mountpoint = ''] = command.args
  return { word: 'stop', mountpoint: named(mountpoint), wait: command.opts<{ wait: number }>().wait * 1000 }
}

function parseUpgrade(args: readonly string[]): ClientOptions {
  const command = commandLine(
    'dummy-fuse-csi shield upgrade',
    'Replaces the daemon of a shield: no request fails or is done twice.',
  )
    .usage('[options] MOUNTPOINT [-- COMMAND... {target}]')
    .argument('<mountpoint>', 'as the shield was started for it')
    .option('--wait <seconds>', 'refuse, if the new daemon does not serve within this time', seconds(0.1), 60)
    .option('--drain <seconds>', 'refuse, if the old daemon has not answered its requests within this time', seconds(0.1), 10)
    .option('--stop-first', 'end the old daemon before the new one is started, because both cannot run at a time')
    .addHelpText('after', UPGRADE_HELP)
  const [before, words] = cutAtCommand(args)
  if (args.includes('--') && before.every((argument) => argument.startsWith('-')) && !before.includes('--help'))
    throw new UsageError('there is no mount point before --; write ./upgrade for a mount point of that name')
  parse(command, before)
  if (args.includes('--') && (words[0] ?? '') === '')
    throw new UsageError('there is no command behind --; leave -- out to keep the command')
  const [mountpoint = ''] = command.args
  const { wait, drain, stopFirst = false } = command.opts<{ wait: number; drain: number; stopFirst?: true }>()
  return {
    word: 'upgrade',
    mountpoint: named(mountpoint),
    command: words.length === 0 ? undefined : parseCommand(words),
    stopFirst,
    wait: wait * 1000,
    drain: drain * 1000,
  }
}

function refuseCommand(word: ClientWord, args: readonly string[]): void {
  if (args.includes('--')) throw new UsageError(`shield ${word} takes no command; write ./${word} for a mount point of that name`)
}

function named(mountpoint: string): string {
  if (mountpoint === '') throw new UsageError('the mount point is empty; name a directory')
  return absolute(mountpoint)
}
