import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import type { Change } from './disk.ts'

/** What a process did, in its order: changes below a folder, and answers to calls. */
export type Step = { readonly kind: 'answer' } | { readonly kind: 'change'; readonly change: Change }

/** System calls that change files, and write(2). */
const CALLS = 'openat,mkdir,mkdirat,write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,pwrite64,writev'

/** strace's words for {@link readTrace}; `output` is where it writes what it has seen. */
export function traceWords(output: string): readonly string[] {
  return ['-f', '-y', '-s', '100000', '-o', output, '-e', `trace=${CALLS}`, '-e', 'signal=none']
}

/** Reads what strace has written of a process that logs to its standard error, and keeps its state below `folder`. */
export function readTrace(output: string, folder: string): readonly Step[] {
  const begun = new Map<string, string>()
  return readFileSync(output, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const whole = wholeCall(line, begun)
      return whole === undefined ? [] : stepOf(whole, folder)
    })
}

/** A call that another thread's came into is written in two parts, of which the second counts. */
function wholeCall(line: string, begun: Map<string, string>): string | undefined {
  const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
  const first = /^(.*) <unfinished \.\.\.>$/.exec(rest)?.[1]
  if (first !== undefined) {
    begun.set(thread, first)
    return undefined
  }
  const second = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1]
  return second === undefined ? rest : `${begun.get(thread) ?? ''}${second}`
}

function stepOf(call: string, folder: string): readonly Step[] {
  const [, name = '', args = ''] = /^(\w+)\((.*)\) += +\d+/.exec(call) ?? []
  if (name === 'write' && args.startsWith('2<')) return args.includes('GRPC response') ? [{ kind: 'answer' }] : []
  const change = changeOf(name, args, folder)
  return change === undefined ? [] : [{ kind: 'change', change }]
}

function changeOf(name: string, args: string, folder: string): Change | undefined {
  const strings = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => unescaped(text))
  const [first = '', second = ''] = strings.map(String)
  const below = (path: string): string | undefined => {
    const found = relative(folder, path)
    return found.startsWith('..') ? undefined : found === '' ? '.' : found
  }
  const of = (kind: 'create' | 'unlink' | 'mkdir' | 'sync', path: string): Change | undefined => {
    const found = below(path)
    return found === undefined ? undefined : { kind, path: found }
  }
  const described = /^\d+<([^>]*)>/.exec(args)?.[1] ?? ''
  switch (name) {
    case 'openat':
      return args.includes('O_CREAT') ? of('create', first) : undefined
    case 'mkdir':
    case 'mkdirat':
      return of('mkdir', first)
    case 'unlink':
    case 'unlinkat':
      return args.includes('AT_REMOVEDIR') ? undefined : of('unlink', first)
    case 'fsync':
    case 'fdatasync':
      return of('sync', described)
    case 'rename':
    case 'renameat':
    case 'renameat2': {
      const [path, to] = [below(first), below(second)]
      return path === undefined || to === undefined ? undefined : { kind: 'rename', path, to }
    }
    case 'write': {
      const path = below(described)
      return path === undefined ? undefined : { kind: 'write', path, data: strings[0] ?? Buffer.alloc(0) }
    }
    case '':
      return undefined
    default:
      if (below(described) !== undefined) throw new Error(`the trace has a call that it cannot replay: ${name}(${args})`)
      return undefined
  }
}

const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12 }

/** A string as strace writes it: bytes that are not printable as a letter, or in octal digits. */
function unescaped(text: string): Buffer {
  const bytes: number[] = []
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '\\') {
      bytes.push(text.charCodeAt(at))
      continue
    }
    const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1))?.[0]
    const next = text[at + 1] ?? ''
    bytes.push(octal === undefined ? (ESCAPES[next] ?? next.charCodeAt(0)) : parseInt(octal, 8))
    at += octal?.length ?? 1
  }
  return Buffer.from(bytes)
}
