import { existsSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/** Removes a tree of empty folders, as those of cgroups are; false while one of them is in use. */
export function removeEmpty(folder: string): boolean {
  try {
    if (!existsSync(folder)) return true
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory() && !removeEmpty(join(folder, entry.name))) return false
    }
    rmdirSync(folder)
    return true
  } catch {
    return false
  }
}
