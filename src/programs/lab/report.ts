import { readFileSync } from 'node:fs'
import { Option } from 'commander'
import { messageOf, UsageError } from '../../errors.ts'
import { parseRecord } from '../../lab/matrix/parse-record.ts'
import {
  anythingDifferent,
  anythingMissing,
  anythingWorse,
  type Comparison,
  compareRecords,
  inNumbers,
  type Side,
} from '../../lab/report/comparison.ts'
import { comparisonMarkdown } from '../../lab/report/comparison-markdown.ts'
import { comparisonPage } from '../../lab/report/comparison-page.ts'
import { oneLine } from '../../printable.ts'
import { commandLine, parse } from '../command-line.ts'
import { print } from '../print.ts'
import { save, writable } from './output-file.ts'

const NAME = 'dummy-fuse-csi lab report'

/** Nothing is worse, and what one of them does there is not known. */
const NOT_ALL_THERE = 4

interface Parsed {
  compare?: readonly string[]
  html?: string
  markdown?: string
  failOn?: 'worse' | 'difference'
}

const HELP = `
A and B are files that lab run --json has written: of one driver before and after a change, or of two drivers. Without --html and
--markdown, the Markdown goes to standard output. A read that takes longer, or a later recovery, counts as changed if the times differ by more than
2 s and by more than half of the shorter one.

Exit status: 0 whatever differs, unless --fail-on says otherwise; 1 with --fail-on worse: something is worse in B, with --fail-on difference:
something differs; 2 usage error, or a file that is no record; 4 with --fail-on worse: nothing is worse, and something that ran in A did not run in B.`

/** lab report: what two records of the lab show side by side. Resolves to the exit status. */
export async function report(args: readonly string[]): Promise<number> {
  const command = commandLine(NAME, 'Shows what two runs of the lab came to, side by side.')
    .usage('--compare A.json B.json [options]')
    .option('--compare <files...>', 'the two records: A, and B, which is compared with A')
    .option('--html <file>', 'write the comparison to this HTML file')
    .option('--markdown <file>', 'write it to this file as Markdown, for a pull request')
    .addOption(new Option('--fail-on <what>', 'end with 1 if B has this').choices(['worse', 'difference']))
    .addHelpText('after', HELP)
  parse(command, args)
  const options = command.opts<Parsed>()
  const files = { html: writable(options.html), markdown: writable(options.markdown) }
  const [a, b] = twoOf(options.compare)
  const comparison = compareRecords(readRecord(a), readRecord(b))
  if (files.html !== undefined) save(files.html, comparisonPage(comparison))
  if (files.markdown !== undefined) save(files.markdown, comparisonMarkdown(comparison))
  const written = [files.html, files.markdown].filter((file) => file !== undefined)
  await print(
    written.length === 0
      ? comparisonMarkdown(comparison)
      : `${inNumbers(comparison)}\n${written.map((file) => `written: ${oneLine(file)}\n`).join('')}`,
  )
  return statusOf(comparison, options.failOn)
}

function twoOf(files: readonly string[] | undefined): readonly [string, string] {
  if (files === undefined) throw new UsageError(`no records given; name two, as in ${NAME} --compare A.json B.json`)
  const [a, b, ...more] = files
  if (a === undefined || b === undefined || more.length > 0)
    throw new UsageError(
      `--compare takes two files, A.json and B.json, and ${files.length} ${files.length === 1 ? 'is' : 'are'} given`,
    )
  return [a, b]
}

/** Throws UsageError. */
function readRecord(file: string): Side {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${messageOf(error)}`)
  }
  return { file, record: parseRecord(text, file) }
}

function statusOf(comparison: Comparison, failOn: Parsed['failOn']): number {
  if (failOn === undefined) return 0
  if (failOn === 'difference') return anythingDifferent(comparison) ? 1 : 0
  if (anythingWorse(comparison)) return 1
  return anythingMissing(comparison) ? NOT_ALL_THERE : 0
}
