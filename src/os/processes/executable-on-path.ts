import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'

/** Whether there is a program of a name that may be executed. `path`: the folders of a variable PATH, in which a name without a slash is looked for. */
export function isExecutable(program: string, path: string): boolean {
  return executablePath(program, path) !== undefined
}

/** Where such a program is, as an absolute path; undefined if there is none. */
export function executablePath(program: string, path: string): string | undefined {
  const places = program.includes('/') ? [program] : path.split(delimiter).map((folder) => join(folder, program))
  return places.map((place) => resolve(place)).find(isExecutableFile)
}

function isExecutableFile(place: string): boolean {
  try {
    accessSync(place, constants.X_OK)
    return statSync(place).isFile()
  } catch {
    return false
  }
}
