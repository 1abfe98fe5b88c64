import { closeSync, openSync, readSync } from 'node:fs'

/** Random bytes in hexadecimal, from the kernel: node:crypto takes 5 ms to load, which a reader would wait for at each takeover. */
export function randomHex(bytes: number): string {
  const buffer = Buffer.alloc(bytes)
  const fd = openSync('/dev/urandom', 'r')
  try {
    readSync(fd, buffer)
  } finally {
    closeSync(fd)
  }
  return buffer.toString('hex')
}
