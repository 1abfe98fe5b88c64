import { UsageError } from '../../errors.ts'
import { flagsOfAMount, SESSION_FLAGS, withFlagOptions } from '../../os/mounts/mount-flags.ts'
import { settleMountOptions } from '../mount-option-rules.ts'

/** Flags of mount(2) that libfuse 2.9 does not know and that a mount can be given afterwards (lib/mount.c, mount_flags). */
const AFTERWARDS = new Set([
  'nosymfollow',
  'symfollow',
  'nodiratime',
  'diratime',
  'relatime',
  'norelatime',
  'strictatime',
  'nostrictatime',
  'nolazytime',
])

/** Mount options, divided between libfuse and the kernel. */
export interface DividedOptions {
  /** What libfuse takes. */
  readonly libfuse: readonly string[]
  /** The MS_* flags to set after the mount, if it lacks any. */
  readonly flags: number | undefined
}

/** Divides options that are checked; the later of two that contradict each other wins. */
export function divideOptions(options: readonly string[]): DividedOptions {
  const settled = settleMountOptions(options)
  const libfuse = settled.filter((option) => !AFTERWARDS.has(option))
  const flags = libfuse.length === settled.length ? undefined : flagsOfAMount(withFlagOptions(SESSION_FLAGS, settled))
  return { libfuse, flags }
}

/** Throws UsageError for an option that the session obeys and libfuse 2.9 cannot. */
export function refuseUnknownToLibfuse(options: readonly string[]): void {
  const unknown = settleMountOptions(options).find((option) => option === 'lazytime' || option === 'writable')
  if (unknown !== undefined)
    throw new UsageError(
      `mount option '${unknown}' is unknown to the backend fuse-native; leave it out, or take the backend session`,
    )
}
