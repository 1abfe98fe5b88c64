import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Has the kernel read ahead `factor` times as far of a file system's files as it does (Documentation/ABI/testing/sysfs-class-bdi). `device`: its super block,
 * `major:minor`. Where /sys may not be written to, as in most containers, all stays as it is.
 */
export function readFurtherAhead(device: string, factor: number): void {
  const file = `/sys/class/bdi/${device}/read_ahead_kb`
  try {
    writeFileSync(file, String(factor * Number(readFileSync(file, 'utf8'))))
  } catch {
    // It is a matter of speed alone.
  }
}
