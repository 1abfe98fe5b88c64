import { isUtf8 } from 'node:buffer'
import { readFileSync, readlinkSync } from 'node:fs'

/** The environment variables whose values are paths. */
const PATH_VARIABLES = ['CSI_ENDPOINT', 'NOTIFY_SOCKET', 'RUNTIME_DIRECTORY', 'STATE_DIRECTORY']

/**
 * Names an argument or path variable of this process that is not UTF-8, as words for people; undefined if there is none. Node replaces such bytes by U+FFFD, which
 * names another file. Without /proc nothing is known.
 */
export function undecodedWord(): string | undefined {
  const word = partsOf('cmdline').find((part) => !isUtf8(part))
  if (word !== undefined) return `the argument ${shown(word)}`
  const variable = partsOf('environ').find((part) => !isUtf8(part) && PATH_VARIABLES.includes(nameOf(part)))
  return variable === undefined ? undefined : `the variable ${shown(variable)}`
}

/** Whether the working directory's path is UTF-8, so that Node can name it. */
export function workingDirectoryDecodes(): boolean {
  try {
    return isUtf8(readlinkSync('/proc/self/cwd', { encoding: 'buffer' }))
  } catch {
    return true
  }
}

/** What a symbolic link holds. Throws Node's error, and TypeError if it is not UTF-8. */
export function readLink(path: string): string {
  const bytes = readlinkSync(path, { encoding: 'buffer' })
  if (!isUtf8(bytes)) throw new TypeError(`the symbolic link ${path} leads to ${shown(bytes)}, which is not UTF-8`)
  return bytes.toString()
}

/** The words of a file of /proc/self that ends each with a NUL. */
function partsOf(file: string): readonly Buffer[] {
  let bytes: Buffer
  try {
    bytes = readFileSync(`/proc/self/${file}`)
  } catch {
    return []
  }
  // Almost always: then it need not be taken apart.
  if (isUtf8(bytes)) return []
  const parts: Buffer[] = []
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start)
    parts.push(bytes.subarray(start, end < 0 ? bytes.length : end))
    start = end < 0 ? bytes.length : end + 1
  }
  return parts
}

function nameOf(variable: Buffer): string {
  return variable.toString('latin1').split('=')[0] ?? ''
}

/** Printable ASCII as it is, every other byte as `\xHH`. */
function shown(bytes: Buffer): string {
  const text = bytes.toString('latin1').replace(/[^\x20-\x7e]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `'${text}'`
}
