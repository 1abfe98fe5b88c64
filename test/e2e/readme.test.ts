import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { CHECKOUT_INSIDE, Machine } from '../support/nspawn.ts'
import { ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const KINDS = ['demo', 'hand', 'systemd', 'itself'] as const

type Kind = (typeof KINDS)[number]

/** The README's commands, by the comment before each block that says where they are to be run. */
function commands(readme: string): Map<Kind, string> {
  const found = new Map<Kind, string>()
  for (const [, kind, body = ''] of readme.matchAll(/(?:<!-- run: (\w+) -->\n\n)?```sh\n(.*?)```/gs)) {
    const known = KINDS.find((one) => one === kind)
    assert.ok(known, `a block of commands without a <!-- run: ${KINDS.join('|')} -->:\n${body}`)
    found.set(known, `${found.get(known) ?? ''}${body}`)
  }
  return found
}

describe('the README', () => {
  let blocks: Map<Kind, string>
  before(() => {
    blocks = commands(readFileSync(join(ROOT, 'README.md'), 'utf8'))
  })

  it('has commands of every kind', () => {
    assert.deepEqual([...blocks.keys()].sort(), [...KINDS].sort())
    assert.equal(blocks.get('itself')?.trim(), 'scripts/test')
  })

  it('shows the demonstrations with the command that it names', async () => {
    await using sandbox = new Sandbox()
    const { status, stdout, stderr } = await sandbox.run('bash', ['-ec', blocks.get('demo') ?? 'false'], {
      cwd: ROOT,
      timeout: 280_000,
      // It leaves its report there, for people.
      env: { ...process.env, TMPDIR: sandbox.path },
    })
    assert.equal(status, 0, `${stdout}\n${stderr}`)
    assert.match(stdout, /transport endpoint is not connected/)
    assert.match(stdout, /restore-mounts-exit-on-error +\d+\/\d+ .* as expected/)
  })

  it("has a volume's life by hand, csi-sanity and dummy-fuse in commands that work as they stand", async () => {
    await using sandbox = new Sandbox()
    const script = join(sandbox.path, 'by-hand.sh')
    // A file, not -c: the README's pkill looks at arguments. Folders that are this machine's own are hidden below empty ones.
    const hide = ['/run', '/var/lib', '/mnt'].map((folder) => `mount -t tmpfs tmpfs ${folder}`)
    writeFileSync(
      script,
      ['set -ex', 'shopt -s expand_aliases', ...hide, `cd ${ROOT}`, blocks.get('hand') ?? 'false', 'wait'].join('\n'),
    )
    const { status, stdout, stderr } = await sandbox.run('unshare', ['--mount', '--propagation', 'private', 'bash', script], {
      timeout: 280_000,
    })
    assert.equal(status, 0, `${stdout}\n${stderr}`)
    assert.equal(stdout.match(/^Hello world!$/gm)?.length, 2, stdout)
    assert.match(stdout, /"reason": "DaemonDead"/)
    assert.match(stdout, /next +the FUSE daemon of \/mnt\/staging is gone/)
    assert.match(stripVTControlCharacters(stdout), /48 Passed \| 0 Failed/)
    assert.match(stderr, /reading/)
    // Five kills of the daemon, and the reader's count of errors.
    assert.match(stdout, /"path": "\/mnt\/survivor"[^]*\n0\n/)
  })

  it('installs, shows and uninstalls under systemd with commands that work as they stand', async () => {
    await using machine = await Machine.create()
    await machine.boot()
    const script = `set -ex\ncd ${CHECKOUT_INSIDE}\n${blocks.get('systemd') ?? 'false'}`
    const { status, stdout, stderr } = await machine.run('bash', ['-c', script], { timeout: 200_000 })
    assert.equal(status, 0, `${stdout}\n${stderr}`)
    assert.match(stdout, /Active: active \(running\)/)
    assert.match(stdout, /no volumes in \/var\/lib\/dummy-fuse-csi/)
    assert.match(stdout, /Listening for connections on/)
  })
})
