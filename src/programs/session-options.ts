import { InvalidArgumentError, Option } from 'commander'

/** What speaks to the kernel: a session of our own, or libfuse 2.9 through fuse-native. */
export type FuseBackend = 'session' | 'fuse-native'

/** The default. */
export const DEFAULT_BACKEND: FuseBackend = 'session'

const BACKENDS: readonly FuseBackend[] = ['session', 'fuse-native']

/** `--backend`, by whatever name. */
export function backendOption(flags: string): Option {
  return new Option(flags, "what speaks to the kernel: session, this project's own; fuse-native, libfuse 2.9")
    .choices(BACKENDS)
    .default(DEFAULT_BACKEND)
}

/** `--poll-time MICROSECONDS`, which it gives as milliseconds. */
export function pollTimeOption(): Option {
  return new Option(
    '--poll-time <microseconds>',
    'how long a session polls for the next request before it sleeps; 0: it does not poll',
  )
    .argParser((value: string) => {
      if (!/^\d+$/.test(value) || Number(value) > 10_000)
        throw new InvalidArgumentError('It is a number of microseconds from 0 to 10000.')
      return Number(value) / 1000
    })
    .default(0.05, '50')
}
