import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** Where the plugin and the daemon meet unless told otherwise. */
export const FUSED_SOCKET = '/run/dummy-fused.sock'

/** All that a successor must know of its words before it serves what it was handed over. */
export interface EarlyOptions {
  readonly stateDir: string
  /** Milliseconds. */
  readonly pollTime: number
  readonly withoutResend: boolean
}

/** Where sessions are remembered: they do not outlive a boot. */
export function defaultStateDir(env: NodeJS.ProcessEnv): string {
  return env.RUNTIME_DIRECTORY ?? '/run/dummy-fused'
}

/** Picks those out of the words. What is wrong with any of them is told when all are read, by options.ts, which takes longer. */
export function pickEarlyOptions(words: readonly string[], env: NodeJS.ProcessEnv): EarlyOptions {
  const options = { 'state-dir': { type: 'string' }, 'poll-time': { type: 'string' }, inject: { type: 'string' } } as const
  const { values } = parseArgs({ args: [...words], options, strict: false, allowPositionals: true })
  const { 'state-dir': stateDir, 'poll-time': pollTime, inject } = values
  return {
    stateDir: resolve(typeof stateDir === 'string' ? stateDir : defaultStateDir(env)),
    pollTime: typeof pollTime === 'string' && /^\d+$/.test(pollTime) ? Number(pollTime) / 1000 : 0.05,
    withoutResend: inject === 'no-resend',
  }
}
