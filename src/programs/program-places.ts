import { delimiter, join } from 'node:path'

/** Where a plugin keeps what it knows of the sessions of programs and their secrets, and where programs behind shields are told to mount. */
export function programFolders(stateDir: string): {
  readonly records: string
  readonly secrets: string
  readonly targets: string
} {
  return { records: join(stateDir, 'programs'), secrets: join(stateDir, 'secrets'), targets: join(stateDir, 'targets') }
}

/** Where programs are looked for: PATH, and where they are on every Debian. */
export function programPath(env: NodeJS.ProcessEnv): string {
  return [env.PATH ?? '', '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
    .flatMap((folders) => folders.split(delimiter))
    .filter((folder, index, all) => folder !== '' && all.indexOf(folder) === index)
    .join(delimiter)
}
