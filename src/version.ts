declare const BUILD_VERSION: string | undefined
declare const BUILD_COMMIT: string | undefined

/** The version in package.json and the commit that the executable was built from; `dev` when run from source. */
export function versionText(): string {
  const version = typeof BUILD_VERSION === 'undefined' ? 'dev' : BUILD_VERSION
  const commit = typeof BUILD_COMMIT === 'undefined' ? 'dev' : BUILD_COMMIT
  return `${version} (${commit})`
}
