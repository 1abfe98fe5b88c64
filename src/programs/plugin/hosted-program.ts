import { readFileSync } from 'node:fs'
import { messageOf, ProgramError, UsageError } from '../../errors.ts'
import { fuseDeviceProblem } from '../../hosts/fuse-device.ts'
import { isExecutable } from '../../os/processes/executable-on-path.ts'
import { parseProgramFile } from '../../program-file/parse.ts'
import type { ProgramSpec } from '../../program-file/spec.ts'
import { programPath } from '../program-places.ts'
import type { FuseHostName } from './options.ts'
import { readOnlyByDefault, shieldProblem } from './program-shields.ts'

/** Reads a program's file. Throws ProgramError, and UsageError for what is wrong in it. */
export function readProgram(file: string): ProgramSpec {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ProgramError(`cannot read --program ${file}: ${messageOf(error)}`, 1, { cause: error })
  }
  return parseProgramFile(text, file)
}

/** Something that a program needs of the machine. */
interface Need {
  /** What it is for, as a line for people. */
  readonly what: string
  /** Undefined if it is there. */
  readonly problem: string | undefined
}

/** What a program needs of the machine to be hosted so. */
function needsOf(spec: ProgramSpec, fuseHost: FuseHostName, env: NodeJS.ProcessEnv): readonly Need[] {
  const path = programPath(env)
  const programs = [
    ...spec.command.slice(0, 1).flat(),
    ...spec.stop.command.slice(0, 1).flat(),
    ...spec.needs,
    ...(fuseHost === 'child' ? ['setpriv'] : []),
  ].map(String)
  return [
    ...programs.map((program) => ({
      what: `program ${program}`,
      problem: isExecutable(program, path) ? undefined : `${program} is not on PATH (${path}); install it, or name its full path`,
    })),
    { what: '/dev/fuse', problem: fuseDeviceProblem() },
  ]
}

/**
 * Throws UsageError for a file that does not go with the host mode, and ProgramError that names what the program lacks on this machine. A /dev/fuse that is missing is said
 * by each call.
 */
export function requireNeeds(spec: ProgramSpec, fuseHost: FuseHostName, env: NodeJS.ProcessEnv): void {
  const problem = fuseHost === 'service' ? shieldProblem(spec) : undefined
  if (problem !== undefined) throw new UsageError(problem)
  const missing = needsOf(spec, fuseHost, env).filter(({ what, problem }) => problem !== undefined && what !== '/dev/fuse')
  if (missing.length > 0)
    throw new ProgramError(`${spec.name} cannot be served: ${missing.map(({ problem }) => problem).join('; ')}`, 1)
}

/** The lines of `--check`, and whether nothing is missing. */
export function checkProgram(
  file: string,
  fuseHost: FuseHostName,
  env: NodeJS.ProcessEnv,
): { readonly text: string; readonly complete: boolean } {
  const spec = readProgram(file)
  const needs = needsOf(spec, fuseHost, env)
  const refusal = fuseHost === 'service' ? shieldProblem(spec) : undefined
  const lines = [
    `ok       ${file} describes ${spec.name}`,
    ...(refusal === undefined ? [] : [`refused  ${refusal}`]),
    ...needs.map(({ what, problem }) => (problem === undefined ? `ok       ${what}` : `missing  ${what}: ${problem}`)),
    ...notesOf(spec, fuseHost).map((note) => `note     ${note}`),
  ]
  return { text: `${lines.join('\n')}\n`, complete: refusal === undefined && needs.every(({ problem }) => problem === undefined) }
}

function notesOf(spec: ProgramSpec, fuseHost: FuseHostName): readonly string[] {
  const words = [...spec.options, ...spec.command.flat().filter((part) => typeof part === 'string')]
  const loss = fuseHost === 'service' ? readOnlyByDefault(spec) : undefined
  const allowsOthers = words.some((word) => /allow[-_](other|root)/.test(word))
  return [
    ...(allowsOthers && !hasUserAllowOther()
      ? [
          'allow_other works for root; a program that gives up root before it mounts needs the line user_allow_other in /etc/fuse.conf, which is not there',
        ]
      : []),
    ...(allowsOthers ? [] : ['no allow_other is in the file: processes of pods that are not root get EACCES']),
    ...(loss === undefined ? [] : [`${loss}: with --fuse-host service its volumes are read-only`]),
    ...(spec.start === 'background' && fuseHost !== 'service'
      ? ['the daemon is in the background: with --fuse-host child it outlives a plugin that is killed, unless its container ends']
      : []),
  ]
}

function hasUserAllowOther(): boolean {
  try {
    return /^user_allow_other\s*$/m.test(readFileSync('/etc/fuse.conf', 'utf8'))
  } catch {
    return false
  }
}
