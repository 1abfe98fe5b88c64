// Ends with 1 if V8 does not take a code cache in this process, which is to have the executable's options. The executable would compile everything at each
// start, and say nothing of it. Words: the bundle, the file of its cache.
import { readFileSync } from 'node:fs'
import { Script } from 'node:vm'

const [, , bundle, cache] = process.argv
const { cachedDataRejected } = new Script(readFileSync(bundle, 'latin1'), { filename: bundle, cachedData: readFileSync(cache) })
if (cachedDataRejected !== false) {
  console.error(`V8 does not take ${cache} with the options ${process.execArgv.join(' ')}`)
  process.exit(1)
}
