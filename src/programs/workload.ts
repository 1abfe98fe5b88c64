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

/**
 * Gives signals back the kernel's own action. Node catches these two to mend the terminal, in the main thread: one that waits for
 * a hung file system would never come to that, and only SIGKILL would end it. libuv leaves SIG_DFL when its last watcher goes.
 */
function leaveToKernel(signals: readonly NodeJS.Signals[]): void {
  const nothing = (): void => undefined
  for (const signal of signals) process.on(signal, nothing).off(signal, nothing)
}

/** dummy-fuse-workload: opens a file and reads it again and again. */
export const workload: Program = async ({ args }) => {
  const command = commandLine('dummy-fuse-workload', 'Reads a file every few seconds and logs each result.')
    .requiredOption('--file <file>', 'the file to read')
    .option('--read-interval <seconds>', 'time between two reads', seconds(), 5)
    .option('--keep-open', 'open the file once, and read through that descriptor')
    .option('--exit-on-error', 'exit with 1 at the first failed read, so that a supervisor starts it again')
    .addHelpText('after', '\nExit status: 1 a read failed, with --exit-on-error; 2 usage error. Otherwise only a signal ends it.')
  parse(command, args)
  const { file, readInterval, keepOpen = false, exitOnError = false } = command.opts<Parsed>()
  leaveToKernel(['SIGTERM', 'SIGINT'])
  const loop = new ReadingLoop(file, keepOpen, new Logger(descriptorSink(2)))
  return await loop.run(readInterval * 1000, exitOnError)
}
