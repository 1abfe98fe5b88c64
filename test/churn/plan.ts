import { SeededRandom } from '../support/random.ts'

/** A kind of process that a site has. `probe` is a process that the plugin has started to ask a mount. */
export type Victim = 'plugin' | 'daemon' | 'standby' | 'keeper' | 'probe'

/** What is done to a process: killed by SIGKILL, ended by SIGTERM, or stopped by SIGSTOP and continued. */
export type Deed = 'kill' | 'end' | 'freeze'

/** One signal, and how often it comes in comparison with the others of a site. */
export interface Share {
  readonly victim: Victim
  readonly deed: Deed
  readonly weight: number
}

/** One signal of a plan. */
export interface Blow {
  readonly victim: Victim
  readonly deed: Deed
  /** Milliseconds since the last one. */
  readonly after: number
  /** It comes whether the plugin listens or not; others wait for that, so that calls get on. */
  readonly early: boolean
  /** Which of the processes of that kind: from 0 to below 1. */
  readonly pick: number
  /** Milliseconds until a frozen process is continued. */
  readonly frozen: number
}

/** How much a plan holds and how fast it goes. */
export interface PlanScale {
  readonly seed: number
  /** SIGKILLs. The other signals come on top. */
  readonly kills: number
  /** The longest pause between two signals, in milliseconds. */
  readonly pause: number
}

/** The shortest time for which a process is stopped, and the longest, in milliseconds. A call may last for 10 s. */
const FROZEN = { least: 100, most: 1500 } as const

/** One signal in so many is early. */
const EARLY = 6

/** The signals of a run. The same seed, scale and shares give the same plan. */
export function churnPlan({ seed, kills, pause }: PlanScale, shares: readonly Share[]): readonly Blow[] {
  const random = new SeededRandom(seed)
  const blows: Blow[] = []
  for (let left = kills; left > 0;) {
    const { victim, deed } = draw(random, shares)
    const pick = random.roll()
    const early = random.between(1, EARLY) === 1
    blows.push({ victim, deed, early, after: random.between(0, pause), pick, frozen: random.between(FROZEN.least, FROZEN.most) })
    if (deed === 'kill') left--
  }
  return blows
}

function draw(random: SeededRandom, shares: readonly Share[]): Share {
  const total = shares.reduce((sum, { weight }) => sum + weight, 0)
  let at = random.roll() * total
  for (const share of shares) {
    at -= share.weight
    if (at < 0) return share
  }
  throw new Error('a plan needs at least one kind of signal')
}
