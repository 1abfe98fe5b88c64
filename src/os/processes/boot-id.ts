import { readFileSync } from 'node:fs'

/** What the kernel calls this boot (proc_sys_kernel(5), random/boot_id). Throws Node's error. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}
