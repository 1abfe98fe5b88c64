import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fates, LEFT_OUT, officialSpecs } from '../kubernetes/support/official-specs.ts'
import { ROOT } from '../support/paths.ts'

describe('docs/kubernetes.md', () => {
  const { passed, skipped } = officialSpecs()
  const page = readFileSync(join(ROOT, 'docs/kubernetes.md'), 'utf8')
  const [, rest = ''] = page.split('## The official storage suite\n')
  const [section = ''] = rest.split('\n## ')

  it('has the counts of the official storage suite that official/specs.yaml has', () => {
    const rows = [...section.matchAll(/^\| `([a-z -]+)` +\| (\d+) +\|/gm)].map(([, reason, count]) => [reason, Number(count)])
    const counts = [['passed', passed.length], ...[...skipped].map(([reason, specs]) => [reason, specs.length])]
    assert.deepEqual(rows, counts)
    assert.ok(passed.length > 0)
  })

  it('has each spec once', () => {
    const all = [...passed, ...[...skipped.values()].flat()]
    assert.deepEqual(
      all.filter((name, index) => all.indexOf(name) !== index),
      [],
    )
  })

  it('has a reason for each spec that is left out by its name', () => {
    const names = [...skipped.values()].flat()
    for (const pattern of LEFT_OUT)
      assert.ok(
        names.some((name) => new RegExp(pattern).test(name)),
        pattern,
      )
    for (const pattern of LEFT_OUT) for (const name of passed) assert.doesNotMatch(name, new RegExp(pattern))
  })
})

describe('what became of the specs', () => {
  const spec = (LeafNodeText: string, State: string, LeafNodeType = 'It') => ({
    ContainerHierarchyTexts: ['External Storage', '[Driver: dummy-fuse-csi] [Testpattern: x]'],
    LeafNodeText,
    LeafNodeType,
    State,
  })

  it('is a failure for every state but passed and skipped, also of what is no spec', () => {
    const { passed, skipped, failed } = fates([
      ...[spec('b', 'passed'), spec('a', 'passed'), spec('c', 'skipped'), spec('d', 'panicked')],
      ...[spec('', 'failed', 'BeforeSuite'), spec('', 'passed', 'AfterSuite')],
      { ...spec('other', 'skipped'), ContainerHierarchyTexts: ['Pods'] },
      { ...spec('e', 'failed'), Failure: { Message: 'why' } },
    ])
    assert.deepEqual(passed, ['[Testpattern: x] a', '[Testpattern: x] b'])
    assert.deepEqual(skipped, ['[Testpattern: x] c'])
    assert.deepEqual(
      failed.map(({ message }) => message),
      ['panicked', 'why', 'failed'],
    )
  })
})
