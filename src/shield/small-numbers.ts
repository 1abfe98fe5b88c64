/** A number of 64 bits without a sign, as it is kept where there are millions of them: a bigint takes 24 bytes, most numbers take none as a double. */
export type SmallNumber = number | bigint

/** Numbers in the upper half of one that has 64 bits. */
const UPPER = 2 ** 32

/** Two are equal if the numbers are equal. BigInt() gives the number back. */
export function small(number: bigint): SmallNumber {
  const double = Number(number)
  return double > Number.MAX_SAFE_INTEGER ? number : double
}

/** A number of 64 bits in a message. Buffer's own method makes four bigints on the way to one, which costs a relay more than all else that it does with a request. */
export function u64(message: Buffer, at: number): bigint {
  const double = message.readUInt32LE(at + 4) * UPPER + message.readUInt32LE(at)
  return double > Number.MAX_SAFE_INTEGER ? message.readBigUInt64LE(at) : BigInt(double)
}

/** Puts a number of 64 bits into a message. */
export function putU64(message: Buffer, at: number, number: bigint): void {
  const double = Number(number)
  if (double > Number.MAX_SAFE_INTEGER) {
    message.writeBigUInt64LE(number, at)
    return
  }
  message.writeUInt32LE(double % UPPER, at)
  message.writeUInt32LE(Math.floor(double / UPPER), at + 4)
}
