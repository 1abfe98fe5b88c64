import { commandLine, parse } from './command-line.ts'
import type { Program } from './program.ts'

/** The programs that start fast and need no gRPC. build.mjs puts them into a bundle of their own; see with-grpc.ts. */
export const loadDummyFuse = async (): Promise<Program> => (await import('./dummy-fuse/program.ts')).dummyFuse

export const loadMountHelper = async (): Promise<Program> => (await import('./dummy-fuse/mount-helper.ts')).mountHelper

export const loadWorkload = async (): Promise<Program> => (await import('./workload.ts')).workload

export const loadKeep = async (): Promise<Program> => (await import('./keep/program.ts')).keep

export const loadShield = async (): Promise<Program> => (await import('./shield/program.ts')).shield

export const loadShielded = async (): Promise<Program> => (await import('./shielded/program.ts')).shielded

export const loadStandby = async (): Promise<Program> => (await import('./standby.ts')).standby

export const loadHolder = async (): Promise<Program> => (await import('./holder.ts')).holder

export const loadLicenses = async (): Promise<Program> => (await import('./licenses.ts')).licenses

export const loadLabAgent = async (): Promise<Program> => (await import('./lab-agent.ts')).labAgent

export const loadLabConsumer = async (): Promise<Program> => (await import('./lab-consumer.ts')).labConsumer

/** What the executable answers under its own name when no program is named: --help and --version. Throws ProgramError. */
export function overview(name: string, programs: Readonly<Record<string, string>>, args: readonly string[]): void {
  const rows = Object.entries(programs).map(([word, description]) => `  ${word.padEnd(10)}${description}`)
  const command = commandLine(name, 'A laboratory for FUSE mounts under CSI.')
    .usage('PROGRAM [options]')
    .addHelpText('after', `\nPrograms:\n${rows.join('\n')}\n`)
  parse(command, args)
}
