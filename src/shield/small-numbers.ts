/** A number of 64 bits without a sign, as it is kept where there are millions of them: a bigint takes 24 bytes, most numbers take none as a double. */
export type SmallNumber = number | bigint

const LARGEST_DOUBLE = BigInt(Number.MAX_SAFE_INTEGER)

/** Two are equal if the numbers are equal. BigInt() gives the number back. */
export function small(number: bigint): SmallNumber {
  return number > LARGEST_DOUBLE ? number : Number(number)
}
