import type { Verdict } from '../../src/lab/mount-command/cases.ts'

/** The programs against the cases of `lab mount` as a Markdown table, and below it what was seen in each finding, which is said once for all programs of which it is the same. */
export function mountTable(verdicts: ReadonlyMap<string, readonly Verdict[]>): string {
  const programs = [...verdicts.keys()]
  const cases = [...new Set([...verdicts.values()].flat().map(({ name }) => name))]
  const rows = cases.map((name) => {
    const cells = [...verdicts.values()].map((all) => inShort(all.find((one) => one.name === name)))
    return `| \`${name}\` | ${cells.join(' | ')} |`
  })
  const table = [`| case | ${programs.join(' | ')} |`, `| --- |${' --- |'.repeat(programs.length)}`, ...rows]
  const findings = programs.flatMap((program) =>
    (verdicts.get(program) ?? [])
      .filter(({ result }) => result !== 'well')
      .map(({ name, what }) => ({ program, text: `\`${name}\`: ${what.replaceAll('\n', ' ')}` })),
  )
  const said = [...Map.groupBy(findings, ({ text }) => text)].map(
    ([text, of]) => `- ${of.map(({ program }) => program).join(', ')}, ${text}`,
  )
  return [...table, ...(said.length === 0 ? [] : ['', ...said])].join('\n')
}

/** `well`, or the issue that a finding is an example of. */
function inShort(verdict: Verdict | undefined): string {
  return verdict === undefined ? '–' : (verdict.issue ?? verdict.result)
}
