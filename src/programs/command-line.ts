import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { messageOf, ProgramError, UsageError } from '../errors.ts'
import type { LogFormat } from '../log.ts'
import type { MetricsAddress } from '../metrics/metrics-endpoint.ts'
import { printable } from '../printable.ts'
import { versionText } from '../version.ts'
import { parseSeconds } from './numbers.ts'

/** A program's command line: `--help`, `--version`, and usage errors, which become a UsageError that lists what is allowed. */
export function commandLine(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(`${name} ${versionText()}`, '-V, --version', 'print the version and commit')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .showHelpAfterError(false)
    .allowExcessArguments(false)
    .configureOutput({ outputError: () => undefined, writeOut: (text) => process.stdout.write(printable(text)) })
    .exitOverride()
}

/** Parses the arguments after the program's name. Throws UsageError; --help and --version throw ProgramError with status 0. */
export function parse(command: Command, args: readonly string[]): void {
  try {
    command.parse(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) throw new ProgramError('', 0)
    const what = error.message.replace(/^error: /, '').replace(/\n\(.*/s, '')
    throw new UsageError(`${what}; there are ${choices(command)} (see ${command.name()} --help)`)
  }
}

function choices(command: Command): string {
  const flags = [...command.options, new Option('-h, --help')].map(({ flags }) => flags.replace(/^-\w, (?=--)/, ''))
  return [...flags, ...command.registeredArguments.map((argument) => argument.name().toUpperCase())].join(', ')
}

/** An option's value as a number of seconds, fractions allowed, from `minimum` to `maximum`. */
export function seconds(minimum = 0, maximum?: number): (value: string) => number {
  return (value) => {
    try {
      return parseSeconds(value, minimum, maximum)
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error))
    }
  }
}

/** An option's value as a whole number from 1 to `most`. */
export function count(most: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : 0
    if (number < 1 || number > most) throw new InvalidArgumentError(`It is a number from 1 to ${most}.`)
    return number
  }
}

/** An option that may be given several times. */
export function repeated(value: string, all: readonly string[]): readonly string[] {
  return [...all, value]
}

/** `--metrics-address HOST:PORT`; the value is a {@link MetricsAddress}. */
export function metricsAddressOption(): Option {
  return new Option(
    '--metrics-address <host:port>',
    'serve metrics for Prometheus by HTTP at /metrics there, and whether the program is ready at /readyz; without a host, on all addresses of this machine',
  ).argParser(parseAddress)
}

function parseAddress(text: string): MetricsAddress {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/i.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    throw new InvalidArgumentError('It is HOST:PORT, such as 127.0.0.1:9809, [::1]:9809 or :9809, with a port from 0 to 65535.')
  const host = match[1] ?? match[2]
  return { host: host === '' ? undefined : host, port }
}

/** `--log-format text|json`. */
export function logFormatOption(): Option {
  const formats: readonly LogFormat[] = ['text', 'json']
  return new Option('--log-format <format>', 'form of the log: text, or one JSON object a line').choices(formats).default('text')
}
