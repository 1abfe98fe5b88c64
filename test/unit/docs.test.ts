import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NameCheck, pages } from '../support/docs.ts'

const ALL = pages()
const OTHER = { name: 'docs/other.md', text: '# Other\n\n## Its `--flag` section\n' }

const check = new NameCheck([...ALL, OTHER])

describe('the README and docs/', () => {
  for (const page of ALL) {
    it(`${page.name} names only paths, flags, programs and variables that there are`, () => {
      assert.deepEqual(check.problems(page), [])
    })
  }

  for (const { name, text } of ALL.filter((page) => page.name.startsWith('docs/'))) {
    it(`${name} begins with whom it is for, and is found from the README`, () => {
      assert.match(text, /^# .*\n\nThis page is for /)
      assert.ok(ALL[0]?.text.includes(`](${name}`), `README.md has no link to ${name}`)
    })
  }
})

describe('the check of names', () => {
  const WRONG: Readonly<Record<string, readonly [text: string, problem: string]>> = {
    'a file of the checkout': ['see `src/volumes/nowhere.ts`', 'no path src/volumes/nowhere.ts'],
    'a file below src': ['see `volumes/nowhere.ts`', 'no path volumes/nowhere.ts'],
    'a file by its name alone': ['see `nowhere.test.ts`', 'no path nowhere.test.ts'],
    'a folder': ['in `test/nowhere/`', 'no path test/nowhere/'],
    'files by a pattern': ['in `test/e2e/nowhere-*.test.ts`', 'no path test/e2e/nowhere-*.test.ts'],
    'a unit': ['start `dummy-nowhere.service`', 'no path dummy-nowhere.service'],
    'a script in a block': ['```sh\nscripts/nowhere\n```', 'no path scripts/nowhere'],
    'a program of the executable': ['`dummy-fuse-csi nowhere`', 'no program dummy-fuse-csi nowhere'],
    'a command of the lab': ['```\ndummy-fuse-csi lab walk\n```', 'no program dummy-fuse-csi lab walk'],
    'a flag of a program': ['`dummy-fuse-csi serve --nowhere`', 'dummy-fuse-csi serve has no --nowhere'],
    'a flag of another program': ['```\ndummy-fused --fuse-host child\n```', 'dummy-fuse-csi fused has no --fuse-host'],
    'a flag in a usage': ['`dummy-fuse [-f] [--nowhere S] DIR`', 'dummy-fuse-csi fuse has no --nowhere'],
    'a flag of a script': ['```\nscripts/uninstall --nowhere\n```', 'scripts/uninstall has no --nowhere'],
    'a flag behind a separator': ['`dummy-fuse-csi keep -- dummy-fused --store-max 1`', 'dummy-fuse-csi fused has no --store-max'],
    'a flag alone': ['with `--nowhere`', 'no program has --nowhere'],
    'a variable that is used': ['`$NOWHERE_DIR`', 'nothing reads the variable NOWHERE_DIR'],
    'a variable that is set': ['```\nDUMMY_NOWHERE=1 scripts/test\n```', 'nothing reads the variable DUMMY_NOWHERE'],
    'a variable by its name': ['`NOWHERE_OPTIONS` is ignored', 'no source has NOWHERE_OPTIONS'],
    'a page': ['[it](nowhere.md)', 'no page nowhere.md'],
    'a heading': ['[it](other.md#nowhere)', 'no heading other.md#nowhere'],
  }
  for (const [what, [text, problem]] of Object.entries(WRONG)) {
    it(`finds ${what} that there is not`, () => {
      assert.deepEqual(check.problems({ name: 'docs/page.md', text }), [`docs/page.md: ${problem}`])
    })
  }

  it('finds nothing wrong with what there is', () => {
    const text =
      '`src/main.ts`, `os/mounts/pinned-paths.ts`, `test/e2e/systemd-*.test.ts`, `dist/dummy-fuse`, `.cache/bin/grpcurl`, `kubelet.service`, `mount --bind`, ' +
      '`dummy-fuse-csi keep --store-max 9 -- dummy-fused --state-dir DIR`, `--seed`, `$TMPDIR`, `FDSTORE=1`, [it](other.md#its---flag-section)'
    assert.deepEqual(check.problems({ name: 'docs/page.md', text }), [])
  })
})
