import assert from 'node:assert/strict'
import { readFileSync, symlinkSync } from 'node:fs'
import { describe, it } from 'node:test'
import { mountDummyFuse } from '../support/mounting.ts'
import { DUMMY_FUSE, EXECUTABLE, WORKLOAD } from '../support/paths.ts'
import { argumentsOf, commOf, Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

interface Way {
  /** What it is called by, and its words before the program's own. */
  readonly call: (sandbox: Sandbox) => readonly [file: string, ...args: string[]]
  /** The argv[0] under which it must then run. */
  readonly argv0: string
}

const viaExec =
  (name: string): Way['call'] =>
  () => ['bash', '-c', `exec -a "$0" "${EXECUTABLE}" "$@"`, name]

function viaLink(name: string): Way['call'] {
  return (sandbox) => {
    symlinkSync(EXECUTABLE, `${sandbox.path}/${name}`)
    return [`${sandbox.path}/${name}`]
  }
}

const WORKLOAD_WAYS: Readonly<Record<string, Way>> = {
  'the link beside the executable': { call: () => [WORKLOAD], argv0: 'dummy-fuse-workload' },
  'a link elsewhere': { call: viaLink('dummy-fuse-workload'), argv0: 'dummy-fuse-workload' },
  'exec -a': { call: viaExec('dummy-fuse-workload'), argv0: 'dummy-fuse-workload' },
  'exec -a with a path': { call: viaExec('/nowhere/dummy-fuse-workload'), argv0: '/nowhere/dummy-fuse-workload' },
  'the first argument': { call: () => [EXECUTABLE, 'workload'], argv0: 'dummy-fuse-csi' },
  "exec -a with the executable's own name": {
    call: () => ['bash', '-c', `exec -a "$0" "${EXECUTABLE}" workload "$@"`, 'dummy-fuse-csi'],
    argv0: 'dummy-fuse-csi',
  },
}

const FUSE_WAYS: Readonly<Record<string, Way>> = {
  'the link beside the executable': { call: () => [DUMMY_FUSE], argv0: 'dummy-fuse' },
  'a link elsewhere': { call: viaLink('dummy-fuse'), argv0: 'dummy-fuse' },
  'exec -a': { call: viaExec('dummy-fuse'), argv0: 'dummy-fuse' },
  'the first argument': { call: () => [EXECUTABLE, 'fuse'], argv0: 'dummy-fuse' },
}

describe('the executable is dummy-fuse-workload', () => {
  for (const [title, { call, argv0 }] of Object.entries(WORKLOAD_WAYS)) {
    it(`by ${title}, under that name and with its arguments`, async () => {
      await using sandbox = new Sandbox()
      const [file, ...args] = call(sandbox)
      const given = ['--file', `${sandbox.path}/no such file`, '--read-interval', '60']
      const running = sandbox.start(file, [...args, ...given])
      await eventually('it reads', () => running.output().includes('reading'))
      assert.equal(commOf(running.pid), 'dummy-fuse-work')
      const [shown = '', ...rest] = argumentsOf(running.pid)
      assert.ok(shown.endsWith(argv0), shown)
      assert.deepEqual(rest.slice(-given.length), given)
    })
  }
})

describe('the executable is dummy-fuse', () => {
  for (const [title, { call, argv0 }] of Object.entries(FUSE_WAYS)) {
    it(`by ${title}, and its daemon has that name and the arguments`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const [file, ...args] = call(sandbox)
      const { status, stderr } = await sandbox.run(file, [...args, '-o', 'allow_other', path])
      assert.equal(status, 0, stderr)
      const [daemon = -1, ...others] = sandbox.processes()
      assert.deepEqual(others, [])
      assert.equal(commOf(daemon), 'dummy-fuse')
      assert.deepEqual(argumentsOf(daemon), [argv0, '-o', 'allow_other', path])
    })
  }

  it('though NODE_OPTIONS and a full environment are meant for somebody else', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const env = { ...process.env, NODE_OPTIONS: '--no-such-option', UV_THREADPOOL_SIZE: '1', TMPDIR: '/nowhere' }
    const { status, stderr } = await sandbox.run(DUMMY_FUSE, [path], { env })
    assert.deepEqual([status, stderr], [0, ''])
  })

  it('in ps, of a daemon that was mounted through a relative path', async () => {
    await using sandbox = new Sandbox()
    await mountDummyFuse(sandbox)
    const { stdout } = await sandbox.run('ps', ['-eo', 'comm,args'])
    assert.match(stdout, new RegExp(`^dummy-fuse +\\S*dummy-fuse ${sandbox.path}/mnt$`, 'm'))
  })
})

/** Calls that end with 2, and what their one line must say. */
const WRONG: Readonly<Record<string, readonly [name: string, args: readonly string[], line: RegExp]>> = {
  'an unknown name': [
    'dummy-fsue',
    [],
    /^dummy-fsue: no program of that name; there are dummy-fuse-csi, dummy-fuse, dummy-fused, dummy-fuse-keep, dummy-shield, dummy-standby, dummy-holder, dummy-restarter, dummy-fuse-workload\n$/,
  ],
  'a name that is only nearly one': ['dummy-fuse-csi.old', ['serve'], /^dummy-fuse-csi\.old: no program of that name; there are /],
  'no program': [
    'dummy-fuse-csi',
    [],
    /^dummy-fuse-csi: no program given; there are serve, fuse, fused, keep, shield, standby, holder, restarter, workload, lab, licenses, status \(see dummy-fuse-csi --help\)\n$/,
  ],
  'an unknown program': [
    'dummy-fuse-csi',
    ['mount'],
    /^dummy-fuse-csi: no program 'mount'; there are serve, fuse, fused, keep, shield, standby, holder, restarter, workload, /,
  ],
  'a program that every object has': ['dummy-fuse-csi', ['constructor'], /^dummy-fuse-csi: no program 'constructor'; there are /],
  'an empty program': ['dummy-fuse-csi', [''], /^dummy-fuse-csi: no program given; /],
  'an unknown option before a program': [
    'dummy-fuse-csi',
    ['--frob', 'serve'],
    /^dummy-fuse-csi: unknown option '--frob'; there are --version, --help/,
  ],
  'a program of another case': ['dummy-fuse-csi', ['Serve'], /^dummy-fuse-csi: no program 'Serve'; /],
  'an unknown option of serve': [
    'dummy-fuse-csi',
    ['serve', '--frob'],
    /^dummy-fuse-csi: unknown option '--frob'; there are .*--endpoint/,
  ],
}

describe('wrong names and words', () => {
  for (const [title, [name, args, line]] of Object.entries(WRONG)) {
    it(`exit with 2 and a line that says what there is: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, args, { argv0: name })
      assert.deepEqual([status, stdout], [2, ''], stderr)
      assert.match(stderr, line)
      assert.equal(stderr.split('\n').length, 2)
    })
  }
})

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

/** Each program: its words before --help, and the name and some words that its help must show. */
const PROGRAMS: Readonly<Record<string, readonly [args: readonly string[], name: string, ...shown: string[]]>> = {
  'dummy-fuse-csi': [[], 'dummy-fuse-csi', 'serve', 'fuse', 'workload'],
  'dummy-fuse-csi fuse': [['fuse'], 'dummy-fuse', '--init-timeout', '--daemonize', '--inject', '--log-file', 'Exit status: '],
  'dummy-fuse-csi fused': [['fused'], 'dummy-fused', '--socket', '--state-dir', '--takeover-deadline', 'Exit status: '],
  'dummy-fuse-csi keep': [['keep'], 'dummy-fuse-csi keep', '--socket', '--takeover-deadline', 'xit status'],
  'dummy-fuse-csi shield': [['shield'], 'dummy-fuse-csi shield', '--read-only', '--stable-inodes', '--give-up', 'xit status'],
  'dummy-fuse-csi shield status': [['shield', 'status'], 'dummy-fuse-csi shield status', '--json', 'xit status'],
  'dummy-fuse-csi shield stop': [['shield', 'stop'], 'dummy-fuse-csi shield stop', '--wait', 'xit status'],
  'dummy-fuse-csi shield upgrade': [['shield', 'upgrade'], 'dummy-fuse-csi shield upgrade', '--stop-first', 'xit status'],
  'dummy-fuse-csi standby': [['standby'], 'dummy-fuse-csi standby', '--state-dir', '--takeover-deadline', 'xit status'],
  'dummy-fuse-csi holder': [['holder'], 'dummy-fuse-csi holder', '--socket', '--takeover-deadline', 'xit status'],
  'dummy-fuse-csi workload': [
    ['workload'],
    'dummy-fuse-workload',
    '--read-interval',
    '--keep-open',
    '--exit-on-error',
    'Exit status: ',
  ],
  'dummy-fuse-csi serve': [['serve'], 'dummy-fuse-csi serve', '--endpoint', '--fuse-host', '--program', 'xit status'],
  'dummy-fuse-csi status': [['status'], 'dummy-fuse-csi status', '--json', 'xit status'],
  'dummy-fuse-csi lab run': [['lab', 'run'], 'dummy-fuse-csi lab run', 'xit status'],
  'dummy-fuse-csi lab mount': [['lab', 'mount'], 'dummy-fuse-csi lab mount', '--unreachable', 'xit status'],
}

describe('--help and --version', () => {
  for (const [title, [args, name, ...shown]] of Object.entries(PROGRAMS)) {
    for (const flag of ['--help', '-h']) {
      it(`${title} ${flag} is on standard output, with 0`, async () => {
        await using sandbox = new Sandbox()
        const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, [...args, flag])
        assert.deepEqual([status, stderr], [0, ''])
        assert.match(stdout, new RegExp(`^Usage: ${name} `))
        for (const word of shown) assert.ok(stdout.includes(word), `${word} in\n${stdout}`)
      })
    }

    for (const flag of ['--version', '-V']) {
      it(`${title} ${flag} names the version and the commit`, async () => {
        await using sandbox = new Sandbox()
        const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, [...args, flag])
        assert.deepEqual([status, stderr], [0, ''])
        assert.match(stdout, new RegExp(`^${name} ${RegExp.escape(version)} \\((no commit|[0-9a-f]{7,40}(-dirty)?)\\)\n$`))
      })
    }
  }
})
