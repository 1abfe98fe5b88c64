import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { codeOf, errnoMeaning, errnoText, messageOf, ProgramError, withRemedy } from '../../errors.ts'
import type { MountTable } from '../../os/mounts/mount-table.ts'
import { STATUS } from '../../os/processes/exit-status.ts'
import { followLinks, refuseDead } from './mountpoint.ts'

const DEVICE = '/dev/fuse'
/** Major 10, minor 229 (Documentation/admin-guide/devices.txt), as makedev(3) packs them. */
const DEVICE_NUMBER = (10 << 8) | 229
/** include/uapi/linux/capability.h. */
const CAP_SYS_ADMIN = 21n

/** How dummy-fuse is told that there may be files in its mount point. */
export const NONEMPTY = '-o nonempty'

/** What a mount point may be. */
export interface Allowed {
  /** Whether there may be files in it. */
  readonly nonempty: boolean
  /** The option that allows files in it. */
  readonly nonemptyOption: string
  /** What is done about symbolic links on the way to it. */
  readonly links: 'follow' | 'refuse'
}

/**
 * Looks at everything that would make a mount fail, before anything is done, and returns the mount point with its links followed.
 * `openTable` is called once privileges and device are there. Throws ProgramError whose line names the path and what to do. Asks nothing
 * of a hung file system but in processes of their own.
 */
export async function preflight(mountpoint: string, allowed: Allowed, openTable: () => MountTable): Promise<string> {
  checkPrivileges()
  checkDevice()
  const table = openTable()
  const path = await followLinks(mountpoint, table)
  if (allowed.links === 'refuse' && path !== mountpoint)
    throw new ProgramError(`${mountpoint}: a symbolic link on the way leads to ${path}; name that directory`, STATUS.notADirectory)
  await checkMountpoint(path, allowed, table)
  return path
}

function checkPrivileges(): void {
  if (process.geteuid?.() !== 0) throw new ProgramError('mounting needs root; run it as root (sudo dummy-fuse ...)', STATUS.notRoot)
  const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  if ((BigInt(`0x${effective}`) & (1n << CAP_SYS_ADMIN)) === 0n)
    throw new ProgramError('mounting needs the capability CAP_SYS_ADMIN; run it in a privileged container', STATUS.notRoot)
}

/** Opens it: root may access(2) what a device cgroup or a nodev mount then forbids. */
function checkDevice(): void {
  let fd: number
  try {
    fd = openSync(DEVICE, 'r+')
  } catch (error) {
    refuseExhausted(`cannot use ${DEVICE}`, error)
    throw new ProgramError(`cannot use ${DEVICE}: ${errnoText(codeOf(error) ?? messageOf(error))}; ${hint(error)}`, STATUS.noDevice)
  }
  const stats = fstatSync(fd)
  closeSync(fd)
  if (!stats.isCharacterDevice() || stats.rdev !== DEVICE_NUMBER)
    throw new ProgramError(
      `cannot use ${DEVICE}: it is not the FUSE device; remove it and run 'mknod ${DEVICE} c 10 229'`,
      STATUS.noDevice,
    )
}

/** Throws ProgramError if something of this node has run out. */
function refuseExhausted(what: string, error: unknown): void {
  const code = codeOf(error)
  if (code !== undefined && errnoMeaning(code) === 'exhausted')
    throw new ProgramError(withRemedy(`${what}: ${errnoText(code)}`, error), STATUS.exhausted, { cause: error })
}

function hint(error: unknown): string {
  return ['ENOENT', 'ENODEV', 'ENXIO'].includes(codeOf(error) ?? '')
    ? "run 'modprobe fuse', or pass the device into this container"
    : 'make it readable and writable for root, on a mount that is not nodev, and allow c 10:229 to this container'
}

async function checkMountpoint(path: string, { nonempty, nonemptyOption }: Allowed, table: MountTable): Promise<void> {
  const state = table.at(path)
  switch (state.kind) {
    case 'absent':
      throw new ProgramError(`${path}: no such directory; create it first (mkdir -p ${path})`, STATUS.mountpointMissing)
    case 'plain':
      if (state.type !== 'directory') throw notADirectory(path)
      break
    case 'mount': {
      const { fsType } = state.mount
      await refuseDead(path, fsType, path)
      if (fsType === 'fuse.dummy-fuse')
        throw new ProgramError(`${path}: already mounted by dummy-fuse; umount ${path} first`, STATUS.alreadyMounted)
    }
  }
  if (entries(path).length > 0 && !nonempty) {
    const advice = `empty it, name another directory, or mount over it with ${nonemptyOption}`
    throw new ProgramError(`${path}: not empty; ${advice}`, STATUS.notEmpty)
  }
}

function entries(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if (codeOf(error) === 'ENOTDIR') throw notADirectory(path)
    refuseExhausted(`${path}: cannot be read`, error)
    const why = errnoText(codeOf(error) ?? messageOf(error))
    throw new ProgramError(`${path}: cannot be read: ${why}; repair it, or name another directory`, STATUS.failed)
  }
}

function notADirectory(path: string): ProgramError {
  return new ProgramError(`${path}: not a directory; name an empty directory`, STATUS.notADirectory)
}
