import { accessSync, constants, readdirSync, realpathSync } from 'node:fs'
import { codeOf, messageOf, ProgramError } from '../../errors.ts'
import { MountinfoTable } from '../../os/mount-table.ts'
import { probe } from '../../os/probe.ts'
import { STATUS } from './exit-status.ts'

const DEVICE = '/dev/fuse'

/**
 * Looks at everything that would make a mount fail, before anything is done, and returns the mount point with its links followed.
 * Throws ProgramError whose line names the path and what to do.
 */
export async function preflight(mountpoint: string, nonempty: boolean): Promise<string> {
  checkPrivileges()
  checkDevice()
  return await checkMountpoint(mountpoint, nonempty)
}

function checkPrivileges(): void {
  if (process.geteuid?.() !== 0) throw new ProgramError('mounting needs root; run it as root (sudo dummy-fuse ...)', STATUS.notRoot)
}

function checkDevice(): void {
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK)
  } catch (error) {
    const hint =
      codeOf(error) === 'ENOENT'
        ? "run 'modprobe fuse', or pass the device into this container"
        : 'make it readable and writable for root'
    throw new ProgramError(`cannot use ${DEVICE}: ${messageOf(error)}; ${hint}`, STATUS.noDevice)
  }
}

async function checkMountpoint(path: string, nonempty: boolean): Promise<string> {
  const refuse = (what: string, status: number): never => {
    throw new ProgramError(`${path}: ${what}`, status)
  }
  const state = new MountinfoTable().at(path)
  switch (state.kind) {
    case 'absent':
      return refuse(`no such directory; create it first (mkdir -p ${path})`, STATUS.mountpointMissing)
    case 'plain':
      if (state.type === 'symlink') return await checkMountpoint(follow(path), nonempty)
      if (state.type === 'other') return refuse('not a directory; name an empty directory', STATUS.notADirectory)
      break
    case 'mount': {
      const { fsType } = state.mount
      if (fsType !== 'fuse' && !fsType.startsWith('fuse.')) break
      const probed = await probe(path)
      if (probed.kind === 'hung')
        return refuse(`a hung ${fsType} mount is there; end its daemon, then umount -l ${path}`, STATUS.deadMount)
      if (probed.kind === 'dead')
        return refuse(`a dead ${fsType} mount is there; remove it first (umount ${path})`, STATUS.deadMount)
      if (fsType === 'fuse.dummy-fuse') return refuse(`already mounted by dummy-fuse; umount ${path} first`, STATUS.alreadyMounted)
    }
  }
  checkEntries(path, nonempty, refuse)
  return path
}

function follow(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    throw new ProgramError(`${path}: ${messageOf(error)}; mend the link or name the directory itself`, STATUS.mountpointMissing)
  }
}

function checkEntries(path: string, nonempty: boolean, refuse: (what: string, status: number) => never): void {
  let entries: string[]
  try {
    entries = readdirSync(path)
  } catch (error) {
    if (codeOf(error) === 'ENOTDIR') refuse('not a directory; name an empty directory', STATUS.notADirectory)
    refuse(`cannot be read: ${messageOf(error)}; mend it, or name another directory`, STATUS.failed)
    return
  }
  if (entries.length > 0 && !nonempty) {
    refuse('not empty; empty it, name another directory, or mount over it with -o nonempty', STATUS.notEmpty)
  }
}
