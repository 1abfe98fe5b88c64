import { SeededRandom, seedOf, wholeNumber } from './random.ts'

/** How much is to happen, and from which seed its random moments come. */
export interface ChaosScale {
  readonly seed: number
  /** SIGKILLs of dummy-fused. */
  readonly kills: number
  /** Restarts of the plugin, every other one by SIGKILL. */
  readonly restarts: number
  /** Replacements of dummy-fused by another build of it. */
  readonly upgrades: number
}

/**
 * `usual` kills, with 20 restarts and 5 upgrades for each 50 of them; DUMMY_FUSE_CHAOS_KILLS sets another number of kills, and the others in
 * proportion. DUMMY_FUSE_SEED repeats the random moments of another run.
 */
export function chaosScale(env: NodeJS.ProcessEnv, usual: number): ChaosScale {
  const kills = wholeNumber(env, 'DUMMY_FUSE_CHAOS_KILLS') ?? usual
  return { seed: seedOf(env), kills, restarts: Math.ceil((kills * 20) / 50), upgrades: Math.ceil((kills * 5) / 50) }
}

/** One SIGKILL of dummy-fused, and what begins with it. */
export interface Blow {
  /** Milliseconds since the last one. */
  readonly after: number
  /** The successor is killed too, as soon as there is one. */
  readonly twice: boolean
  readonly restarts: number
  readonly upgrades: number
}

/** Kills come 50 to 600 ms after one another: some before the successor is ready. */
const LEAST_PAUSE = 50
const MOST_PAUSE = 600

/** When everything happens. */
export function chaosPlan({ seed, kills, restarts, upgrades }: ChaosScale): readonly Blow[] {
  const random = new SeededRandom(seed)
  const blows: Blow[] = []
  for (let left = kills; left > 0;) {
    const twice = left > 1 && random.between(1, 8) === 1
    blows.push({ after: random.between(LEAST_PAUSE, MOST_PAUSE), twice, restarts: 0, upgrades: 0 })
    left -= twice ? 2 : 1
  }
  const spread = (what: 'restarts' | 'upgrades', times: number): void => {
    for (let i = 0; i < times; i++) {
      const at = random.between(0, blows.length - 1)
      const blow = blows[at]
      if (blow !== undefined) blows[at] = { ...blow, [what]: blow[what] + 1 }
    }
  }
  spread('restarts', restarts)
  spread('upgrades', upgrades)
  return blows
}

/** Runs a case with a log of what was done; if it fails, tells how to run it again, what was done, and the logs of what it was done to. */
export async function withSeed(
  scale: ChaosScale,
  act: (log: (line: string) => void) => Promise<void>,
  logs: () => Promise<string>,
): Promise<void> {
  const began = performance.now()
  const lines: string[] = []
  try {
    await act((line) => lines.push(`${((performance.now() - began) / 1000).toFixed(3)} s: ${line}`))
  } catch (error) {
    const again = `DUMMY_FUSE_SEED=${scale.seed} DUMMY_FUSE_CHAOS_KILLS=${scale.kills} runs this again`
    const told = await logs().catch((failure: unknown) => `no logs: ${String(failure)}`)
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`${reason}\n${again}\n${lines.join('\n')}\n${told}`, { cause: error })
  }
}
