export { SeededRandom } from '../../src/lab/seeded-random.ts'

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
