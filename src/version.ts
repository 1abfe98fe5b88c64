declare const BUILD_VERSION: string | undefined
declare const BUILD_COMMIT: string | undefined

/** The version in package.json and the commit that the executable was built from; `dev` when run from source. */
export function version(): { readonly version: string; readonly commit: string } {
  return {
    version: typeof BUILD_VERSION === 'undefined' ? 'dev' : BUILD_VERSION,
    commit: typeof BUILD_COMMIT === 'undefined' ? 'dev' : BUILD_COMMIT,
  }
}

/** Both in one line: `1.0.0 (667c1155a80f)`. */
export function versionText(): string {
  const { version: number, commit } = version()
  return `${number} (${commit})`
}
