import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SharedMount } from '../support/shared-mount.ts'
import { HELLO } from './case.ts'

/** How fio(1) is to read: its engine, whether past the page cache, and how many reads at a time. */
export const ENGINES: readonly (readonly [engine: string, direct: boolean, depth: number])[] = [
  ['io_uring', false, 8],
  ['io_uring', true, 8],
  ['libaio', false, 8],
  ['libaio', true, 8],
  ['posixaio', true, 8],
  ['splice', false, 1],
  ['mmap', false, 1],
]

interface Output {
  readonly jobs: readonly { readonly jobname: string; readonly error: number; readonly read: { readonly total_ios: number } }[]
}

/** Has eight jobs compare the whole file with what it must hold, and one read it byte by byte in a random order. */
export async function fioReads({ sandbox, path }: SharedMount, engine: string, direct: boolean, depth: number): Promise<void> {
  const pattern = `0x${Buffer.from(HELLO).toString('hex')}`
  const common = ['--readonly', '--thread', '--rw=randread', '--size=13', `--iodepth=${depth}`, `--filename=${path}/dummy-file.txt`]
  const checked = [
    '--name=checked',
    '--bs=13',
    '--numjobs=8',
    '--verify=pattern',
    `--verify_pattern=${pattern}`,
    '--verify_fatal=1',
  ]
  const deep = ['--name=deep', '--new_group', '--bs=1', '--loops=20']
  const way = [
    `--ioengine=${engine}`,
    `--direct=${direct ? 1 : 0}`,
    '--group_reporting',
    '--output-format=json',
    '--output=fio.json',
  ]
  const cwd = sandbox.directory(`fio-${engine}-${direct}`)
  const { status, stdout, stderr } = await sandbox.run('fio', [...common, ...way, ...checked, ...deep], { cwd })
  assert.equal(status, 0, stdout + stderr)
  const { jobs } = JSON.parse(readFileSync(join(cwd, 'fio.json'), 'utf8')) as Output
  assert.deepEqual(
    jobs.map(({ jobname, error, read }) => [jobname, error, read.total_ios]),
    [
      ['checked', 0, 8],
      ['deep', 0, 13 * 20],
    ],
  )
}
