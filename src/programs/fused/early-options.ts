import { absolute } from '../absolute.ts'
import type { LogFormat } from '../../log.ts'

/** The default socket of dummy-fused. */
export const FUSED_SOCKET = '/run/dummy-fused.sock'

/** All that a successor must know of its arguments before it serves what it was handed over. */
export interface EarlyOptions {
  readonly stateDir: string
  /** Milliseconds. */
  readonly pollTime: number
  readonly withoutResend: boolean
  /** Whether it is killed when the process that started it ends: the plugin's `--fuse-host child --daemons shared`. */
  readonly dieWithParent: boolean
  readonly logFormat: LogFormat
}

/** Where sessions are remembered: they do not outlive a boot. */
export function defaultStateDir(env: NodeJS.ProcessEnv): string {
  return env.RUNTIME_DIRECTORY ?? '/run/dummy-fused'
}

/**
 * Picks those out of the arguments. What is wrong with any of them is told when all are read, by options.ts, which takes longer; as much as a
 * millisecond longer than this takes node:util's parseArgs() alone.
 */
export function pickEarlyOptions(args: readonly string[], env: NodeJS.ProcessEnv): EarlyOptions {
  const pollTime = valueOf('--poll-time', args) ?? ''
  return {
    stateDir: absolute(valueOf('--state-dir', args) ?? defaultStateDir(env)),
    pollTime: /^\d+$/.test(pollTime) ? Number(pollTime) / 1000 : 0.05,
    withoutResend: valueOf('--inject', args) === 'no-resend',
    dieWithParent: args.includes('--die-with-parent'),
    logFormat: valueOf('--log-format', args) === 'json' ? 'json' : 'text',
  }
}

/** The last that is given, as `--option value` or `--option=value`. */
function valueOf(option: string, args: readonly string[]): string | undefined {
  const values = args.flatMap((word, index) => {
    if (word.startsWith(`${option}=`)) return [word.slice(option.length + 1)]
    return word === option ? args.slice(index + 1, index + 2) : []
  })
  return values.at(-1)
}
