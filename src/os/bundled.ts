import { getRawAsset } from 'node:sea'
import { Script } from 'node:vm'

/**
 * Runs a bundle of the executable with its V8 code cache, and returns its exports (build.mjs makes both). V8 compiles a function that is not in the
 * cache at its first call, which takes much of the time of a start.
 */
export function runBundle(name: string): unknown {
  const source = Buffer.from(getRawAsset(`${name}.cjs`)).toString('latin1')
  const script = new Script(source, { filename: `${name}.cjs`, cachedData: Buffer.from(getRawAsset(`${name}.cache`)) })
  const module = { exports: {} }
  const run = script.runInThisContext() as (
    module: { exports: unknown },
    require: (builtin: string) => unknown,
    dirname: string,
  ) => void
  // fuse-native asks where it lies on disk, which is nowhere.
  run(module, (builtin) => process.getBuiltinModule(builtin), '/')
  return module.exports
}
