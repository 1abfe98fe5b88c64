import { descriptorSink, Logger } from '../log.ts'
import { ReadingLoop } from '../workload/reading-loop.ts'
import { commandLine, parse, seconds } from './command-line.ts'
import type { Program } from './program.ts'

interface Parsed {
  file: string
  readInterval: number
  keepOpen?: true
  exitOnError?: true
}

/** dummy-fuse-workload: opens a file and reads it again and again. */
export const workload: Program = async ({ words }) => {
  const command = commandLine('dummy-fuse-workload', 'Reads a file every few seconds and says what comes of it.')
    .requiredOption('--file <file>', 'the file to read')
    .option('--read-interval <seconds>', 'time between two reads', seconds(), 5)
    .option('--keep-open', 'open the file once, and read through that descriptor for ever')
    .option('--exit-on-error', 'end with 1 at the first failure, so that whoever supervises starts a new one')
    .addHelpText('after', '\nExit status: 1 a failure, with --exit-on-error; 2 wrong words. It ends with a signal otherwise.')
  parse(command, words)
  const { file, readInterval, keepOpen = false, exitOnError = false } = command.opts<Parsed>()
  const loop = new ReadingLoop(file, keepOpen, new Logger(descriptorSink(2)))
  return await loop.run(readInterval * 1000, exitOnError)
}
