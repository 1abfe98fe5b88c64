import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { parseProgramFile } from '../../src/program-file/parse.ts'
import { ProgramShields, readOnlyByDefault, shieldProblem } from '../../src/programs/plugin/program-shields.ts'
import { cutAtCommand, parseShieldOptions } from '../../src/programs/shield/options.ts'
import { EXAMPLES } from '../support/program.ts'

const read = (file: object): ReturnType<typeof parseProgramFile> => parseProgramFile(JSON.stringify(file), 'fs.yaml')

const FILE = { name: 'fs', command: ['fs', '{options}', '{param:path}', '{target}'], parameters: { path: { pattern: '.*' } } }

/** The words of a shield for a volume of a program. */
function wordsOf(
  file: object,
  path: string,
  { holder, resumes = false }: { holder?: string; resumes?: boolean } = {},
): readonly string[] {
  const shields = new ProgramShields(new Libc(new AddonLoader()), '/state/targets', holder, new Logger(() => undefined))
  const values = {
    ...{ target: '/staging', volumeId: 'v', parameters: { path }, mountFlags: ['ro'], secrets: {} },
    ...{ secretFile: () => '', file: () => '' },
  }
  return shields.words(read(file), values, '/bin/dummy-fuse-csi', resumes)
}

describe('the shield of a program', () => {
  it('gets the command with a target of its own, and every other word as it is', () => {
    const path = '/a {target} {{b}} }'
    const [executable, program, ...args] = wordsOf({ ...FILE, mountFlags: { ro: null } }, path)
    assert.deepEqual([executable, program], ['/bin/dummy-fuse-csi', 'shield'])
    const { mountpoint, command, readOnly, stableInodes, giveUp, nonempty, targets } = parseShieldOptions(args)
    assert.deepEqual([mountpoint, readOnly, stableInodes, giveUp, nonempty], ['/staging', false, false, 300_000, true])
    assert.match(targets ?? '', /^\/state\/targets\/[0-9a-f]{24}$/)
    assert.deepEqual(command.words[0], 'fs')
    assert.deepEqual(command.args('/hidden'), ['-o', 'ro', path, '/hidden'])
  })

  it('has a holder keep its session, and takes it from there', () => {
    const given = [{}, { holder: '/h/s' }, { holder: '/h/s', resumes: true }].map((how) =>
      parseShieldOptions(wordsOf(FILE, '/a', how).slice(2)),
    )
    assert.deepEqual(
      given.map(({ holder, resume }) => [holder, resume]),
      [
        [undefined, false],
        ['/h/s', false],
        ['/h/s', true],
      ],
    )
  })

  it('has the options of the file, and is read-only for what may lose a write', () => {
    const shield = { stableInodes: true, giveUp: 7.5 }
    const options = (file: object): readonly string[] => cutAtCommand(wordsOf(file, '/a'))[0]
    const given = parseShieldOptions(wordsOf({ ...FILE, shield }, '/a').slice(2))
    assert.deepEqual([given.stableInodes, given.giveUp], [true, 7500])
    assert.ok(!options(FILE).includes('--read-only'))
    assert.ok(options({ ...FILE, shield: { readOnly: true } }).includes('--read-only'))
    const sshfs = { ...FILE, command: ['/usr/bin/sshfs', '{param:path}', '{target}'] }
    assert.ok(options(sshfs).includes('--read-only'))
    assert.match(readOnlyByDefault(read(sshfs)) ?? '', /^sshfs may lose a write when it is killed/)
    assert.equal(readOnlyByDefault(read({ ...sshfs, shield: { readOnly: true } })), undefined)
  })

  it('is refused for a file that it cannot serve, with what to change', () => {
    const cases = [
      [{ start: 'background' }, /start: background, .*\(often -f\), and leave out start$/],
      [{ keepSecrets: 'mounted' }, /keepSecrets: mounted, .*; write staged$/],
      [{ environment: { PLACE: '{target}' } }, /\{target\} in environment\.PLACE, .*; leave it out there$/],
      [{ files: { config: 'at {target}' } }, /\{target\} in files\.config, /],
      [
        { command: ['rclone', 'mount', '{options}', '{param:path}', '{target}'], shield: { readOnly: false } },
        /shield\.readOnly: false, and rclone may lose a write .*; leave that out$/,
      ],
    ] as const
    for (const [change, line] of cases) {
      const problem = shieldProblem(read({ ...FILE, ...change })) ?? ''
      assert.match(problem, /^fs cannot be served with --fuse-host service: its file /)
      assert.match(problem, line)
    }
    assert.equal(shieldProblem(read({ ...FILE, shield: { readOnly: false } })), undefined)
  })

  it('is refused for no file of examples/programs', () => {
    for (const name of readdirSync(EXAMPLES).filter((one) => one.endsWith('.yaml')))
      assert.equal(shieldProblem(parseProgramFile(readFileSync(join(EXAMPLES, name), 'utf8'), name)), undefined, name)
  })
})
