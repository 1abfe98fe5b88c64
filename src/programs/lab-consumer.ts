import { writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { Consumer } from '../lab/consumer/consumer.ts'
import type { ConsumerLine } from '../lab/consumer/line.ts'
import { READ_METHODS } from '../lab/consumer/read-methods.ts'
import { RecordReader, RecordWriter } from '../lab/consumer/record-files.ts'
import { AddonLoader } from '../os/addons.ts'
import { PageCalls } from '../os/descriptors/mapped-file.ts'
import { Libc } from '../os/libc.ts'
import { commandLine, parse } from './command-line.ts'
import type { Program } from './program.ts'

interface Options {
  way: string
  file: string
  expect: string
  interval: number
  exitOnError?: true
  writes?: true
  readBack?: string[]
}

/** dummy-fuse-csi lab-consumer: what the lab starts as a consumer of a volume. Writes a line before and after each read or round of writes (lab/consumer/line.ts). */
export const labConsumer: Program = async (context) => {
  const command = commandLine('dummy-fuse-csi lab-consumer', 'Reads a file again and again and writes each result, for the lab.')
    .addOption(
      new Option('--way <way>', 'what it holds between two reads').choices(Object.keys(READ_METHODS)).default('opens-anew'),
    )
    .requiredOption('--file <file>', 'the file to read')
    .option('--expect <text>', 'the content that the file must have', 'Hello world!\n')
    .option('--interval <ms>', 'milliseconds between two reads', milliseconds, 25)
    .option('--exit-on-error', 'exit with 1 at the first read that is not right')
    .option('--writes', 'when a read was right, write numbered records beside the file instead of reading on')
    .option('--read-back <names>', 'say which records are in these files beside the file', names)
  parse(command, context.args)
  const options = command.opts<Options>()
  const make = READ_METHODS[options.way]
  if (make === undefined) throw new Error(`no way '${options.way}'`)
  const tell = (line: ConsumerLine): void => {
    writeSync(1, `${JSON.stringify(line)}\n`)
  }
  const folder = dirname(options.file)
  const expected = Buffer.from(options.expect)
  const consumer = new Consumer(
    make(options.file, new PageCalls(new Libc(new AddonLoader())), expected),
    {
      file: options.file,
      expected,
      interval: options.interval,
      exitOnError: options.exitOnError === true,
      ...(options.writes === true ? { writer: new RecordWriter(folder, tell) } : {}),
      ...(options.readBack === undefined ? {} : { records: new RecordReader(folder, options.readBack, tell) }),
    },
    tell,
  )
  return await consumer.run()
}

function milliseconds(value: string): number {
  const number = Number(value)
  if (!(number >= 0 && number <= 60_000)) throw new InvalidArgumentError('It is a number of milliseconds up to 60000.')
  return number
}

function names(value: string): string[] {
  return value.split(',')
}
