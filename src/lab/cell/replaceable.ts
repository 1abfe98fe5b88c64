import { renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectories } from '../../os/mounts/directories.ts'
import { type Command } from '../command.ts'
import { KUBELET } from '../node-paths.ts'

/** A program that an update can replace. */
export interface Program {
  /** How it is started now. */
  readonly command: Command
  /** Puts the next version in its place, which is started from now on. */
  replace(): void
}

/** A program at a path of its own on the node, at which another file can be put, as an update does. */
export class Replaceable implements Program {
  readonly command: Command
  readonly #executable: string
  #version = 1

  /**
   * `folder`: its name; it replaces an earlier program of that name. The path ends with argv[0], because the executable takes the name of
   * its program from the path where it is given no other.
   */
  constructor(command: Command, folder: string) {
    const path = join(KUBELET, 'tmp/bin', folder, command.argv0)
    makeDirectories(join(path, '..'))
    rmSync(path, { force: true })
    symlinkSync(command.executable, path)
    this.#executable = command.executable
    this.command = { ...command, executable: path }
  }

  /** rename(2) over the path: the next process that executes it gets the new one. */
  replace(): void {
    const { executable: path } = this.command
    const successor = `${path}.${++this.#version}`
    symlinkSync(this.#executable, successor)
    renameSync(successor, path)
  }
}
