import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { outcome } from '../support/csi-client.ts'
import { FusedProcess } from '../support/fused.ts'
import { serves } from '../support/mounts.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Plugin, SHARED_DAEMON } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** Executes a program that may have so many open files. */
function limited(files: number): readonly string[] {
  return ['prlimit', `--nofile=${files}:${files}`]
}

/** Which process lacks descriptors, and the plugin that stages with it. */
const HOSTS: Readonly<Record<string, (sandbox: Sandbox) => Promise<Plugin>>> = {
  'serve, child': (sandbox) => Plugin.start(sandbox, { by: limited(64) }),
  'serve and its dummy-fused': (sandbox) => Plugin.start(sandbox, { by: limited(64), ...SHARED_DAEMON }),
  'dummy-fused': async (sandbox) => {
    const { socket } = await FusedProcess.start(sandbox, { by: limited(64) })
    return await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', socket] })
  },
  'dummy-fused under keep': async (sandbox) => {
    const { socket } = await FusedProcess.start(sandbox, { keep: [], through: limited(64) })
    return await Plugin.start(sandbox, { args: ['--fuse-host', 'service', '--fused-socket', socket] })
  },
}

/** Volumes more than 64 descriptors can be had for. */
const MOST = 36

describe('without a descriptor left', () => {
  for (const [who, start] of Object.entries(HOSTS)) {
    it(`a Stage fails and says what to raise, all else goes on, and it works again when there is one: ${who}`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await start(sandbox)
      const staged: Volume[] = []
      const refusals: string[] = []
      for (let index = 0; index < MOST && refusals.length < 3; index++) {
        const volume = new Volume(sandbox, plugin, `volume-${index}`)
        const begun = performance.now()
        const { code, details } = await outcome(volume.stage())
        if (code === 'OK') staged.push(volume)
        else {
          assert.equal(code, 'RESOURCE_EXHAUSTED', details)
          assert.match(details, /too many open files|EMFILE/)
          assert.match(details, /raise the limit of open files \(LimitNOFILE=/)
          assert.ok(performance.now() - begun < 8000, 'it is not tried again for as long as the call may take')
          refusals.push(details)
        }
      }
      assert.equal(refusals.length, 3, `${staged.length} volumes were staged`)
      assert.ok(staged.length > 10)
      const [first, second, third] = staged
      assert.ok(first !== undefined && second !== undefined && third !== undefined)
      for (const volume of staged) assert.ok(await serves(sandbox, volume.staging))
      assert.deepEqual(sandbox.mounts().length, staged.length)
      assert.equal(plugin.entries().length, staged.length)
      for (const volume of [first, second, third]) await volume.unstage()
      await eventually('a Stage works again', async () => {
        const { code } = await outcome(first.stage())
        return code === 'OK'
      })
      assert.ok(await serves(sandbox, first.staging))
      assert.ok(plugin.running)
    })
  }

  for (const [how, args] of [
    ['in the background', []],
    ['in the foreground', ['-f']],
  ] as const) {
    it(`dummy-fuse ${how} ends with 13 and one line, or serves, and leaves nothing`, async () => {
      await using sandbox = new Sandbox()
      const said: string[] = []
      const path = sandbox.directory('mnt')
      for (let files = 20; files <= 34; files += 2) {
        const running = sandbox.start('prlimit', [`--nofile=${files}:${files}`, DUMMY_FUSE, ...args, path])
        const mounted = async (): Promise<boolean> => running.child.exitCode !== null || (await serves(sandbox, path))
        await eventually(`it ends or serves with ${files} descriptors: ${running.output()}`, mounted)
        if (sandbox.mounts().length === 0) {
          const { status, stderr } = await running.ended
          assert.equal(status, 13, `${files}: ${stderr}`)
          assert.match(stderr, /^dummy-fuse: [^\n]*raise the limit of open files \(LimitNOFILE=, ulimit -n\)[^\n]*\n$/, `${files}`)
          said.push(stderr)
        } else await sandbox.run('umount', [path])
        await eventually('no process is left', () => sandbox.processes().length === 0)
        assert.deepEqual(sandbox.mounts(), [])
      }
      assert.ok(said.length > 0)
    })
  }

  it('a program takes as many descriptors as the hard limit allows', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, { by: ['prlimit', '--nofile=64:512'] })
    assert.match(readFileSync(`/proc/${plugin.pid}/limits`, 'utf8'), /^Max open files +512 +512 /m)
  })

  for (const args of [['serve'], ['fused'], ['keep', '--', 'true'], ['standby'], ['status'], ['lab', 'list']]) {
    it(`ends with 13 and one line that says what to raise, or does what it is to do: ${args.join(' ')}`, async () => {
      await using sandbox = new Sandbox()
      const [program = '', ...rest] = args
      const endpoint = program === 'serve' ? ['--endpoint', `unix://${sandbox.path}/csi.sock`] : []
      const state = ['keep', 'lab'].includes(program) ? [] : ['--state-dir', `${sandbox.path}/state`]
      const socket = program === 'fused' ? ['--socket', `${sandbox.path}/fused.sock`] : []
      // With less Node itself does not start.
      for (const files of [20, 22, 24]) {
        const args = [...limited(files).slice(1), EXECUTABLE, program, ...endpoint, ...socket, ...state, ...rest]
        const running = sandbox.start('prlimit', args)
        const { child } = running
        await eventually('it says something, or ends', () => child.exitCode !== null || running.output() !== '')
        if (!running.output().includes('; raise the limit')) child.kill('SIGTERM')
        const { status, stderr } = await running.ended
        assert.doesNotMatch(stderr, /^ +at /m)
        if (status === 13) assert.match(stderr, /^dummy-\S+: [^\n]+; raise the limit of open files \(LimitNOFILE=, ulimit -n\)\n$/)
        else assert.doesNotMatch(stderr, /^dummy-.*(EMFILE|too many open files)/im)
        if (files === 20) assert.equal(status, 13, stderr)
      }
    })
  }
})
