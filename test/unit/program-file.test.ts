import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { toJsonSchema } from '@valibot/to-json-schema'
import { commandOf, environmentOf, filesOf, stopCommandOf, type VolumeValues } from '../../src/program-file/command.ts'
import { parseProgramFile } from '../../src/program-file/parse.ts'
import { PROGRAM_FILE } from '../../src/program-file/schema.ts'
import { checkInlineParameters, checkParameters, checkProgramFlags, podFlags } from '../../src/program-file/volume-values.ts'
import { EXAMPLES } from '../support/program.ts'

const FILE = {
  name: 'fs',
  command: ['fs', '{options}', 'host:{param:path}', '{target}', '-o', 'key={secret-file:key},x={param:mode}', '{file:config}'],
  secrets: ['key'],
  files: { config: '{{ key = {secret:key} }}' },
  environment: { KEY: '{secret:key}', PLACE: '{volume} at {target}' },
  options: ['allow_other'],
  parameters: {
    path: { pattern: '/[a-z,]+' },
    mode: { values: [1, 'two'], default: 'two' },
    cache: { values: ['on', '-off'], optional: true, option: 'cache={value}', words: ['--cache', '{value}'], inline: true },
  },
  mountFlags: { ro: { words: ['--read-only'] }, uid: { pattern: '[0-9]+' }, big: null },
  stop: { by: 'command', command: ['fs', 'stop', '{target}'], within: 3 },
}

const read = (file: object): ReturnType<typeof parseProgramFile> => parseProgramFile(JSON.stringify(file), 'fs.yaml')

function values(change: Partial<VolumeValues> = {}): VolumeValues {
  return {
    target: '/mnt',
    volumeId: 'v',
    parameters: { path: '/a', mode: '1' },
    mountFlags: [],
    secrets: { key: 's3cret' },
    secretFile: (name) => `/secret/${name}`,
    file: (name) => `/file/${name}`,
    ...change,
  }
}

describe('a program file', () => {
  it('makes the words, the environment, the files and the stop command of a volume', () => {
    const spec = read(FILE)
    assert.deepEqual(commandOf(spec, values()), [
      ...['fs', '-o', 'allow_other', 'host:/a', '/mnt', '-o', 'key=/secret/key,x=1', '/file/config'],
    ])
    const more = values({ parameters: { path: '/a', mode: '1', cache: 'on' }, mountFlags: ['ro', 'uid=7', 'big', 'noexec'] })
    assert.deepEqual(commandOf(spec, more).slice(1, 6), ['-o', 'allow_other,cache=on,uid=7,big', '--cache', 'on', '--read-only'])
    assert.deepEqual(environmentOf(spec, values()), { KEY: 's3cret', PLACE: 'v at /mnt' })
    assert.deepEqual(filesOf(spec, values()), { config: '{ key = s3cret }' })
    assert.deepEqual(stopCommandOf(spec, values()), ['fs', 'stop', '/mnt'])
    assert.deepEqual([spec.start, spec.keepSecrets, spec.stop.within], ['foreground', 'staged', 3000])
  })

  it('has no -o without options', () => {
    const spec = read({ name: 'fs', command: ['fs', '{options}', '{target}'] })
    assert.deepEqual(commandOf(spec, values()), ['fs', '/mnt'])
  })

  it('refuses values that would be read as something else', () => {
    const spec = read({
      ...FILE,
      command: ['fs', '{param:path}', '{target}', '{options}'],
      parameters: { path: { pattern: '.*' } },
    })
    assert.throws(
      () => commandOf(spec, values({ parameters: { path: '-rf' } })),
      /the value of \{param:path\} begins with a hyphen/,
    )
    const inOptions = read({ ...FILE, parameters: { ...FILE.parameters, mode: { pattern: '.*' } } })
    assert.throws(
      () => commandOf(inOptions, values({ parameters: { path: '/a', mode: 'x,allow_root' } })),
      /parameter 'mode' holds a comma or a backslash, and stands in a list of mount options/,
    )
    assert.throws(
      () => commandOf(read(FILE), values({ parameters: { path: '/a', mode: '1', cache: '-off' } })),
      /the value '-off' begins with a hyphen/,
    )
  })

  /** What is changed in a file that is right, and what is said of it. */
  const WRONG: Readonly<Record<string, readonly [change: object, message: RegExp]>> = {
    'an unknown field': [{ comand: ['x'] }, /fs\.yaml: there is no 'comand'; there are name, command, start, needs, /],
    'a name that is none': [{ name: 'My FS' }, /name is not a lower-case name/],
    'an empty command': [{ command: [] }, /command is empty/],
    'a command without {target}': [{ command: ['fs', '{options}'] }, /command has no \{target\}/],
    'a command that begins with a placeholder': [
      { command: ['{param:path}', '{target}', '{options}'] },
      /command begins with a placeholder/,
    ],
    'an unknown placeholder': [
      { command: ['fs', '{traget}', '{options}'] },
      /command has the placeholder \{traget\}, which there is not; there are \{target\}, \{volume\}, \{param:path\}, \{param:mode\}, \{param:cache\}, \{file:config\}, \{secret-file:key\}, \{options\}/,
    ],
    'a parameter that is not declared': [
      { command: ['fs', '{param:other}', '{target}', '{options}'] },
      /the placeholder \{param:other\}, which there is not/,
    ],
    'a secret on the command line': [
      { command: ['fs', '{secret:key}', '{target}', '{options}'] },
      /command has \{secret:key\}, which would stand on a command line, .* use \{secret-file:key\}/,
    ],
    'a brace alone': [
      { command: ['fs', '{target', '{options}'] },
      /command has a \{ without its other in '\{target'; a brace itself is written twice/,
    ],
    'options inside of a word': [{ command: ['fs', '-o{options}', '{target}'] }, /\{options\} inside of a word/],
    'options twice': [{ command: ['fs', '{options}', '{options}', '{target}'] }, /\{options\} more than once/],
    'options without a place': [{ command: ['fs', '{target}'] }, /options has no place: put \{options\} into command/],
    'a parameter without a rule': [
      { parameters: { ...FILE.parameters, path: {} } },
      /parameters\.path has neither values nor a pattern/,
    ],
    'a parameter with two rules': [
      { parameters: { ...FILE.parameters, path: { values: ['a'], pattern: 'a' } } },
      /parameters\.path has values and a pattern/,
    ],
    'a pattern that is none': [
      { parameters: { ...FILE.parameters, path: { pattern: '(' } } },
      /parameters\.path\.pattern is no regular expression/,
    ],
    'a default that is not allowed': [
      { parameters: { ...FILE.parameters, path: { values: ['a'], default: 'b' } } },
      /parameters\.path\.default is not a /,
    ],
    'a parameter that is a secret': [
      { parameters: { accessKey: { pattern: '.*' } } },
      /parameters\.accessKey is named as a secret/,
    ],
    'an optional parameter in the command': [
      { parameters: { ...FILE.parameters, path: { pattern: '.*', optional: true } } },
      /parameters\.path is optional, and \{param:path\} needs a value/,
    ],
    'a signal that is none': [{ stop: { by: 'signal', signal: 'SIGSTOP' } }, /stop\.signal is not SIGTERM, SIGINT or SIGHUP/],
    'a stop command that is missing': [{ stop: { by: 'command' } }, /stop\.command is missing/],
    'a variable that is none': [{ environment: { 'A B': 'x' } }, /is not the name of an environment variable/],
  }
  for (const [what, [change, message]] of Object.entries(WRONG))
    it(`is refused with ${what}`, () => {
      assert.throws(() => read({ ...FILE, ...change }), message)
    })

  it('that is no YAML is refused without what stands in it', () => {
    assert.throws(
      () => parseProgramFile('name: [s3cret', 'fs.yaml'),
      (error: Error) => {
        assert.match(error.message, /^fs\.yaml: it is no YAML: /)
        assert.ok(!error.message.includes('s3cret'))
        return true
      },
    )
  })
})

describe('the values of a volume', () => {
  const spec = read(FILE)

  it('are the parameters of the file, with its defaults, without those of Kubernetes', () => {
    const given = { path: '/a', 'csi.storage.k8s.io/pvc/name': 'x', 'storage.kubernetes.io/csiProvisionerIdentity': 'y' }
    assert.deepEqual(checkParameters(spec, given), { mode: 'two', path: '/a' })
    for (const [wrong, message] of [
      [{}, /parameter 'path' is missing; give it a text that matches \/\[a-z,\]\+$/],
      [{ path: '/a', x: '' }, /parameter 'x' is not allowed for fs; allowed are path, mode, cache$/],
      [{ path: '/A' }, /parameter 'path' is not a text that matches/],
      [{ path: '/a\n' }, /parameter 'path' holds a control character/],
      [{ path: '/a', mode: '3' }, /parameter 'mode' is not one of 1, two$/],
      [{ path: `/${'a'.repeat(5000)}` }, /parameter 'path' has more than 4096 bytes/],
    ] as const)
      assert.throws(() => checkParameters(spec, wrong), message)
  })

  it('are of a pod those that are inline', () => {
    const inline = read({
      ...FILE,
      command: ['fs', '{target}', '{options}'],
      parameters: { cache: FILE.parameters.cache, path: { pattern: '.*', default: '' } },
    })
    assert.deepEqual(checkInlineParameters(inline, { cache: 'on' }), { cache: 'on', path: '' })
    assert.throws(
      () => checkInlineParameters(inline, { path: '/' }),
      /a pod may not set parameter 'path' of fs; allowed are cache$/,
    )
    assert.deepEqual(podFlags(inline, ['ro', 'noexec']), ['ro', 'noexec'])
    assert.throws(() => podFlags(inline, ['suid']), /a pod may not set mount option 'suid' of fs/)
  })

  it('are the mount flags of the file and of the kernel, each once', () => {
    assert.deepEqual(checkProgramFlags(spec, ['rw', 'uid=1', 'ro', 'uid=2', 'noexec', 'big']), ['ro', 'uid=2', 'noexec', 'big'])
    for (const [wrong, message] of [
      ['uid', /mount flag 'uid' needs a value, a text that matches/],
      ['uid=x', /mount flag 'uid' is not a text that matches/],
      ['big=1', /mount flag 'big' takes no value/],
      ['dev', /mount flag 'dev' is not allowed for fs; allowed are ro, uid, big, /],
      ['noexec=1', /mount flag 'noexec' is not allowed for fs/],
    ] as const)
      assert.throws(() => checkProgramFlags(spec, [wrong]), message)
  })
})

describe('examples/programs', () => {
  it('has files that are read, one for each program', () => {
    const files = readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml'))
    assert.ok(files.length >= 7)
    for (const file of files) {
      const text = readFileSync(join(EXAMPLES, file), 'utf8')
      assert.equal(`${parseProgramFile(text, file).name}.yaml`, file)
      assert.match(text, /^# yaml-language-server: \$schema=program\.schema\.json$/m)
    }
  })

  it('has the JSON schema of program files (node packaging/file-schemas.mjs writes it)', () => {
    const schema: unknown = JSON.parse(readFileSync(join(EXAMPLES, 'program.schema.json'), 'utf8'))
    assert.deepEqual(schema, toJsonSchema(PROGRAM_FILE))
  })
})
