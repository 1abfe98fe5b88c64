import { getRawAsset } from 'node:sea'
import { Script } from 'node:vm'

/**
 * Runs a bundle that the executable carries inside, with V8's code cache of it, and returns what it exports (build.mjs makes both). A
 * function that is not in the cache would be compiled when it is first called: much of a start is that.
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
