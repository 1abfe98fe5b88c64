// Makes V8's code cache of a bundle, in a process of its own. That is to have the executable's options: V8 takes a cache only in a process with the options
// with which it was made. It is to have --predictable too: the bytes of a cache depend on all that V8 has done before. Words: the bundle, a file of the working
// directory, for the cache holds its name as it is given; the file to write; `all`, or `loads` for what loading the bundle calls.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'

const [, , bundle, cache, what] = process.argv
const script = what === 'all' ? compileAll(bundle) : await compileWhatLoads(bundle)
writeFileSync(cache, script.createCachedData())
process.exit(0)

/** Every function: for small bundles, most of which is run at each start. */
function compileAll(file) {
  setFlagsFromString('--no-lazy')
  try {
    return compile(file)
  } finally {
    // A cache is good only for a V8 with the same flags.
    setFlagsFromString('--lazy')
  }
}

/** What loading calls. */
async function compileWhatLoads(file) {
  const script = compile(file)
  const module = { exports: {} }
  script.runInThisContext()(module, createRequire(import.meta.url), '/')
  for (const load of Object.values(module.exports)) await load()
  return script
}

function compile(file) {
  return new Script(readFileSync(file, 'latin1'), { filename: file })
}
