import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { GO_DRIVER } from '../support/tools.ts'

const PAGE = readFileSync(join(ROOT, 'docs/bring-your-driver.md'), 'utf8')

/** The blocks of commands of a section, with the places of a test in place of those of a reader. */
function commands(heading: string, folder: string): readonly string[] {
  const [, section = ''] = PAGE.split(`\n${heading}\n`)
  const [own = ''] = section.split(/\n##+ /)
  return [...own.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) =>
    block
      .replaceAll('/srv/trial', folder)
      .replaceAll('/usr/local/bin/dummy-fuse-csi', EXECUTABLE)
      .replaceAll('/usr/local/bin/go-driver', GO_DRIVER),
  )
}

/** Runs blocks in one shell, as a reader does who copies them. Resolves to the output; rejects if a command fails. */
async function follow(sandbox: Sandbox, blocks: readonly string[]): Promise<string> {
  const script = join(sandbox.path, 'blocks.sh')
  writeFileSync(script, ['set -euo pipefail', `cd ${sandbox.path}`, ...blocks].join('\n'))
  const env = { ...process.env, PATH: `${dirname(EXECUTABLE)}:${dirname(GO_DRIVER)}:${process.env.PATH ?? ''}` }
  const { status, stdout, stderr } = await sandbox.run('bash', [script], { timeout: 240_000, env })
  assert.equal(status, 0, stdout + stderr)
  return stdout
}

describe('docs/bring-your-driver.md', () => {
  it('leads from a running CSI driver to a report', async () => {
    await using sandbox = new Sandbox()
    const blocks = ['### A CSI driver', '## 3. Check it', '## 4. Run the lab', '## 5. Read the report'].map((heading) =>
      commands(heading, sandbox.path),
    )
    assert.deepEqual(
      blocks.map(({ length }) => length),
      [2, 1, 1, 1],
    )
    // Without watch, the lab waits for 45 seconds to see whether the driver cures anything.
    const quick = blocks.flat().map((block) => block.replace(/^(file: greeting\.txt)$/m, '$1\nwatch: 2\ncallTimeout: 60'))
    const output = await follow(sandbox, quick)
    assert.match(output, /^nothing is wrong$/m)
    assert.match(output, /^2 of the 2 failures tried break consumers of go-driver: /m)
  })

  it('has files of a FUSE program that fit together', async () => {
    await using sandbox = new Sandbox()
    // The program itself is not on every machine: bindfs stands for it.
    const blocks = commands('### A FUSE program', sandbox.path).map((block) =>
      block
        .replace(/^apt-get .*$/m, '')
        .replaceAll('archivemount', 'bindfs')
        .replace('allow_other, readonly', 'allow_other')
        // On a busy machine a mount may take longer than a call may.
        .replace(/^(file: hello\.txt)$/m, '$1\ncallTimeout: 60'),
    )
    const files = blocks.filter((block) => block.includes('<<'))
    assert.equal(files.length, 2)
    const folder = `mkdir files.tar.gz\necho hello > files.tar.gz/hello.txt`
    const output = await follow(sandbox, [folder, ...files, ...commands('## 3. Check it', sandbox.path)])
    assert.match(output, /bindfs\[\d+\], connection \d+: answers for the volume$/m)
    assert.match(output, /^nothing is wrong$/m)
  })
})
