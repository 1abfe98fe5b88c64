/** Random numbers that a seed repeats (mulberry32). */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to below 1. */
  roll(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let bits = this.#state
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.roll() * (most - least + 1))
  }
}

/** DUMMY_FUSE_SEED, which repeats the random choices of another run, or a new seed. Throws for anything but a number from 1. */
export function seedOf(env: NodeJS.ProcessEnv): number {
  return wholeNumber(env, 'DUMMY_FUSE_SEED') ?? Math.floor(Math.random() * 2 ** 31) + 1
}

/** A variable that holds a number from 1, or undefined where it is not set. Throws for anything else. */
export function wholeNumber(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const value = env[name]
  if (value === undefined) return undefined
  if (!/^[1-9]\d{0,9}$/.test(value)) throw new Error(`${name} is '${value}'; it takes a number from 1`)
  return Number(value)
}
