import { symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { PROGRAMS, type ProgramStorage } from '../support/program-storage.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { RCLONE } from '../support/tools.ts'
import { cephfs } from './cephfs.ts'

/** A program that the lab can be run with, and where its executable comes from. */
export interface LabProgram {
  /** As it is named on the command line and in the table: `rclone-1.76.0`. */
  readonly name: string
  /** The name of its file below examples/programs, and of its executable. */
  readonly file: string
  /** An executable that stands for the one on PATH. */
  readonly executable?: string
}

/** The programs of examples/programs as Debian has them, and rclone once more as a Go module. */
export const LAB_PROGRAMS: readonly LabProgram[] = [
  ...Object.keys(PROGRAMS).map((name) => ({ name, file: name })),
  { name: basename(RCLONE), file: 'rclone', executable: RCLONE },
]

/** Those whose mount command can be tested. The storage of ceph-fuse is not kept where it ends, as the server of a cell does. */
export const MOUNT_PROGRAMS: readonly LabProgram[] = [...LAB_PROGRAMS, { name: 'ceph-fuse', file: 'ceph-fuse' }]

/** Makes the storage of a program in a sandbox. Rejects with an Error if there is none for it. */
export async function storageOf(sandbox: Sandbox, { file }: LabProgram): Promise<ProgramStorage> {
  const make = file === 'ceph-fuse' ? cephfs : PROGRAMS[file]
  if (make === undefined) throw new Error(`there is no storage for ${file}`)
  return await make(sandbox)
}

/** PATH with the program's executable first. */
export function pathWith(sandbox: Sandbox, { file, executable }: LabProgram): string {
  const folder = sandbox.directory('bin')
  if (executable !== undefined) symlinkSync(executable, join(folder, file))
  return `${folder}:${process.env.PATH ?? ''}`
}
