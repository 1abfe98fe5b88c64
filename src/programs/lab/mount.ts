import { UsageError } from '../../errors.ts'
import {
  casesOf,
  casesToRun,
  judgeDescriptors,
  judgeMessages,
  type MountCase,
  type Verdict,
} from '../../lab/mount-command/cases.ts'
import type { MountSeen } from '../../lab/mount-command/seen.ts'
import { preflight } from '../../lab/preflight.ts'
import { carryOutOnPrivateNode } from '../../lab/private-node-process.ts'
import { isExecutable } from '../../os/processes/executable-on-path.ts'
import { oneLine } from '../../printable.ts'
import { commandLine, parse, repeated, seconds } from '../command-line.ts'
import { print } from '../print.ts'
import type { ProgramContext } from '../program.ts'

const NAME = 'dummy-fuse-csi lab mount'

/** Some cases could not run, and the others came out well. */
const NOT_ALL_RAN = 4

interface Parsed {
  json?: true
  wait: number
  unreachable?: string
  forbidden?: string
  only: readonly string[]
}

const HELP = `
COMMAND is run as it is, on a private node for each case: mount and process namespaces of its own, which end with all that is in them.
{target} in it is the directory to mount at. The cases:
  mounts               it mounts, and returns when the mount stands (#1079); or it serves in the foreground
  mount-takes-…s       mount(2) takes 0.1, 3, 7 and 15 s: strace delays it
  no-fuse-device       there is no /dev/fuse
  mount-refused        mount(2) fails with EPERM
  killed-before-init   the process that calls mount(2) is killed
  unreachable-storage  --unreachable
  forbidden-option     --forbidden
  descriptors          what it leaves has no descriptor of its caller
  messages             it says why whenever it returns that it has failed
A finding that is an example of blobfuse2 #1079 (it returns before its mount stands) or #1081 (it returns 0 although it has failed) says so.

Exit status: 0 all came out well; 1 findings; 2 usage error; 3 the lab cannot run on this machine; 4 some cases could not run, and the others
came out well.`

/** lab mount: what a mount command does when its mount takes long or fails. Resolves to the exit status. */
export async function mountCommand(context: ProgramContext, args: readonly string[]): Promise<number> {
  const separator = args.indexOf('--')
  const command = commandLine(NAME, 'Tests what a mount command does when its mount takes long, or fails.')
    .usage('[options] -- COMMAND... {target}')
    .option('--json', 'print one JSON object')
    .option('--wait <seconds>', 'how long a command has, beyond what delays it', seconds(0.5, 90), 10)
    .option('--unreachable <line>', 'a shell line with {target} that is COMMAND with storage that cannot be reached')
    .option('--forbidden <line>', 'a shell line with {target} that is COMMAND with an option that is forbidden')
    .option('--only <case>', 'only this case, and mounts; may be given several times; messages alone runs every case', repeated, [])
    .addHelpText('after', HELP)
  parse(command, separator < 0 ? args : args.slice(0, separator))
  const words = separator < 0 ? [] : args.slice(separator + 1)
  const { json = false, wait, unreachable, forbidden, only } = command.opts<Parsed>()
  if (words.length === 0) throw new UsageError(`no command given; it comes after --, as in ${NAME} -- bindfs /srv {target}`)
  for (const [what, text] of [
    ['the command', words.join(' ')],
    ['--unreachable', unreachable],
    ['--forbidden', forbidden],
  ] as const)
    if (text !== undefined && !text.includes('{target}')) throw new UsageError(`${what} has no {target}, the directory to mount at`)
  const cases = casesOf({ words, unreachable: lineOf(unreachable), forbidden: lineOf(forbidden) }, wait * 1000)
  const names = [...cases.map(({ name }) => name), 'descriptors', 'messages']
  const unknown = only.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new UsageError(`--only: there is no case '${unknown}'; there are ${names.join(', ')}`)
  preflight()
  const wanted = casesToRun(cases, only)
  const told = json
    ? (): Promise<void> => Promise.resolve()
    : async (verdict: Verdict): Promise<void> => await print(lineFor(verdict))
  const verdicts = await verdictsOn(context, wanted, only, told)
  if (json) {
    const { version } = await import('../../version.ts')
    await print(`${JSON.stringify({ tool: { name: 'dummy-fuse-csi', ...version() }, command: words, verdicts }, null, 2)}\n`)
  }
  return statusOf(verdicts)
}

async function verdictsOn(
  context: ProgramContext,
  cases: readonly MountCase[],
  only: readonly string[],
  told: (verdict: Verdict) => Promise<void>,
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = []
  const failed: { readonly name: string; readonly seen: MountSeen }[] = []
  const add = async (verdict: Verdict): Promise<void> => {
    verdicts.push(verdict)
    await told(verdict)
  }
  // A case that runs for its message alone has no verdict.
  const isTold = (name: string): boolean => only.length === 0 || name === 'mounts' || only.includes(name)
  for (const one of cases) {
    const mounts = verdicts.find(({ name }) => name === 'mounts')
    const why = mounts !== undefined && mounts.seen?.stoodAfter === undefined ? 'the command does not mount here at all' : undefined
    const verdict = why === undefined ? await verdictOn(context, one) : { name: one.name, result: 'not run' as const, what: why }
    if (isTold(one.name)) await add(verdict)
    if (verdict.seen !== undefined && one.name !== 'mounts') failed.push({ name: one.name, seen: verdict.seen })
    if (one.name === 'mounts' && verdict.seen?.stoodAfter !== undefined && (only.length === 0 || only.includes('descriptors')))
      await add({ name: 'descriptors', ...judgeDescriptors(verdict.seen) })
  }
  if (only.length === 0 || only.includes('messages')) await add({ name: 'messages', ...judgeMessages(failed) })
  return verdicts
}

async function verdictOn(context: ProgramContext, { name, words, how, judge }: MountCase): Promise<Verdict> {
  if (words === undefined) {
    const flag = name === 'unreachable-storage' ? '--unreachable' : '--forbidden'
    return { name, result: 'not asked', what: `give a command with ${flag}` }
  }
  if (how.injection !== undefined && !isExecutable('strace', context.env.PATH ?? '/usr/bin:/bin'))
    return { name, result: 'not run', what: 'strace is not on PATH; install it (Debian package strace)' }
  const env = Object.fromEntries(Object.entries(context.env).filter((one): one is [string, string] => one[1] !== undefined))
  const job = { kind: 'mount', trial: { words, cwd: process.cwd(), env, ...how } } as const
  const seen: { mount?: MountSeen } = {}
  const reason = await carryOutOnPrivateNode(
    job,
    context.self(['lab', 'inside']),
    context.env,
    (message) => {
      if (message.kind === 'mount') seen.mount = message.seen
    },
    new AbortController().signal,
  )
  if (seen.mount === undefined) return { name, result: 'not run', what: reason ?? 'nothing was seen' }
  return { name, ...judge(seen.mount), seen: seen.mount }
}

function lineOf(line: string | undefined): readonly string[] | undefined {
  return line === undefined ? undefined : ['sh', '-c', line]
}

function lineFor({ name, issue, result, what }: Verdict): string {
  return `${result.padEnd(9)}  ${name.padEnd(20)} ${issue === undefined ? '' : `blobfuse2 ${issue}: `}${oneLine(what)}\n`
}

function statusOf(verdicts: readonly Verdict[]): number {
  if (verdicts.some(({ result }) => result === 'finding')) return 1
  return verdicts.some(({ result }) => result === 'not run') ? NOT_ALL_RAN : 0
}
