import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Running, Sandbox } from './sandbox.ts'
import { eventually } from './wait.ts'

/** Reads a volume's file until it is told to end, and prints what is not the file's content. */
export function steadyReader(sandbox: Sandbox, path: string): Running {
  const code = [
    'import os, sys, time',
    'held = os.open(sys.argv[1], os.O_RDONLY)',
    'rounds = 0',
    'def report(error): print("error", error.errno, flush=True)',
    'while not os.path.exists(sys.argv[2]):',
    '    try:',
    '        fd = os.open(sys.argv[1], os.O_RDONLY)',
    '        try:',
    '            for each in (fd, held):',
    '                if os.pread(each, 100, 0) + os.pread(each, 100, 13) != b"Hello world!\\n": print("wrong", flush=True)',
    '        finally: os.close(fd)',
    '    except OSError as error: report(error)',
    '    rounds += 1',
    '    if rounds == 1: print("reading", flush=True)',
    '    time.sleep(0.01)',
    'print("rounds", flush=True)',
  ].join('\n')
  return sandbox.start('python3', ['-c', code, join(path, 'dummy-file.txt'), join(sandbox.path, 'enough')])
}

/** Waits until a steady reader has read for the first time. */
export async function reading(reader: Running): Promise<void> {
  await eventually('the reader reads', () => reader.output().includes('reading'))
}

/** A steady reader of each volume, all of which have read. */
export async function steadyReaders(sandbox: Sandbox, paths: readonly string[]): Promise<readonly Running[]> {
  const readers = paths.map((path) => steadyReader(sandbox, path))
  for (const reader of readers) await reading(reader)
  return readers
}

/** Ends steady readers and returns what they have printed of errors. */
export async function complaints(sandbox: Sandbox, ...readers: readonly Running[]): Promise<string[]> {
  writeFileSync(join(sandbox.path, 'enough'), '')
  const results = await Promise.all(readers.map(async ({ ended }) => await ended))
  return results.flatMap(({ stdout, stderr }) => {
    assert.match(stdout, /rounds\n$/, stderr)
    return stdout.split('\n').filter((line) => /error|wrong/.test(line))
  })
}
