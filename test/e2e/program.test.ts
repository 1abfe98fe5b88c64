import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { processStat } from '../../src/os/processes/processes.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { GREETING, layersAt, mount, mountAt, optionsAt } from '../support/mounts.ts'
import { PodMounts, shareMounts } from '../support/pod-mounts.ts'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { mountCapability, Plugin } from '../support/plugin.ts'
import { EXAMPLES, keptOfPrograms, programFile, ProgramVolume, serveProgram, showsToUsers } from '../support/program.ts'
import { Sandbox } from '../support/sandbox.ts'
import { SilentMount } from '../support/silent-mount.ts'
import { stop } from '../support/stopped.ts'
import { attach } from '../support/strace.ts'
import { eventually } from '../support/wait.ts'

const BINDFS = join(EXAMPLES, 'bindfs.yaml')
const OK = { code: 'OK', details: '' }

/** A folder with one file, `f`. */
function source(sandbox: Sandbox): string {
  const path = sandbox.directory('source')
  writeFileSync(join(path, 'f'), 'hello\n')
  return path
}

/** A shell's line as the program that mounts bindfs: $0 is the source, $1 the target. */
function shell(line: string, more: object = {}): object {
  return {
    name: 'peer',
    command: ['sh', '-c', line, '{param:source}', '{target}'],
    parameters: { source: { pattern: '/.*' } },
    ...more,
  }
}

/** That nothing of a volume that could not be staged is left. */
async function nothingLeft(sandbox: Sandbox, plugin: Plugin): Promise<void> {
  // A stat(1) that the plugin has asked a mount by may end after the answer that did not wait for it.
  await eventually('no question is left', () => sandbox.processes('stat').length === 0)
  assert.deepEqual([sandbox.mounts(), keptOfPrograms(plugin), plugin.entries()], [[], [], []])
  const left = sandbox.processes().filter((pid) => pid !== plugin.pid)
  assert.deepEqual(left, [])
}

/** A plugin in a mount namespace of its own, from which mounts propagate to the sandbox, that restores by stacking. */
async function serveStacking(sandbox: Sandbox): Promise<Plugin> {
  shareMounts(sandbox)
  const by = ['unshare', '--mount', '--propagation', 'unchanged', '--']
  return await serveProgram(sandbox, BINDFS, { args: ['--restore-mounts=stack'], by })
}

/** A volume of bindfs with the file that consumers read. */
function greetingVolume(sandbox: Sandbox, plugin: Plugin): ProgramVolume {
  const files = sandbox.directory('files')
  writeFileSync(join(files, 'dummy-file.txt'), GREETING)
  return new ProgramVolume(sandbox, plugin, { parameters: { source: files } })
}

describe('serve --program', () => {
  for (const host of ['child', 'detached']) {
    it(`has bindfs serve a volume through its life with --fuse-host ${host}, and mounts it again when its daemon dies`, async () => {
      await using sandbox = new Sandbox()
      const parameters = { source: source(sandbox) }
      using plugin = await serveProgram(sandbox, BINDFS, { args: ['--fuse-host', host] })
      const volume = new ProgramVolume(sandbox, plugin, { parameters })
      assert.deepEqual([await volume.stage(), await volume.publish(), await volume.stage()], [OK, OK, OK])
      assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), 'hello\n')
      assert.equal(mountAt(volume.staging).fsType, 'fuse')
      assert.deepEqual(await volume.reasons(), [])
      const { stdout } = await sandbox.run(EXECUTABLE, ['status', '--state-dir', plugin.stateDir])
      assert.match(stdout, new RegExp(`volume "v1": healthy\\n.* MOUNTED {2}daemon ${volume.daemon()}\\n {2}program {3}bindfs\\n`))
      const first = volume.daemon()
      process.kill(first, 'SIGKILL')
      await eventually('the daemon is gone', () => processStat(first) === undefined)
      assert.deepEqual(await volume.reasons(), ['DaemonDead'])
      assert.deepEqual(await volume.publish(), OK)
      assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), 'hello\n')
      assert.deepEqual(await volume.reasons(), [])
      assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
      await nothingLeft(sandbox, plugin)
    })
  }

  it('finds the daemon of a detached program after a kill of the plugin, and restores that of a child', async () => {
    for (const [host, log] of [
      ['detached', /still mounted /],
      ['child', /successfully remounted /],
    ] as const) {
      await using sandbox = new Sandbox()
      using plugin = await serveProgram(sandbox, BINDFS, { args: ['--fuse-host', host] })
      const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
      assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
      const daemon = volume.daemon()
      await plugin.kill()
      if (host === 'child') await eventually('the daemon ends with the plugin', () => processStat(daemon) === undefined)
      await plugin.restart()
      assert.match(plugin.log(), log)
      assert.equal(volume.daemon() === daemon, host === 'detached')
      assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), 'hello\n')
      assert.deepEqual(await volume.reasons(), [])
      assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
      await nothingLeft(sandbox, plugin)
    }
  })

  it('binds the session back that somebody has unmounted at the staging path, and its consumers keep it', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, BINDFS, { args: ['--fuse-host', 'detached'] })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    const [daemon, { device }] = [volume.daemon(), mountAt(volume.target)]
    const file = openSync(join(volume.target, 'f'), 'r')
    try {
      for (const again of [async () => await volume.publish(), async () => await volume.stage(), restarted]) {
        assert.equal((await sandbox.run('umount', ['-l', volume.staging])).status, 0)
        assert.deepEqual(await again(), OK)
        assert.deepEqual([mountAt(volume.staging).device, volume.daemon(), mountAt(volume.target).device], [device, daemon, device])
        assert.deepEqual(optionsAt(volume.staging).slice(0, 3), ['rw', 'nosuid', 'nodev'])
        assert.equal(readSync(file, Buffer.alloc(6), 0, 6, 0), 6)
        assert.deepEqual(await volume.reasons(), [])
      }
    } finally {
      closeSync(file)
    }
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    await nothingLeft(sandbox, plugin)

    async function restarted(): Promise<typeof OK> {
      await plugin.kill()
      await plugin.restart()
      return OK
    }
  })

  it('mounts anew where the session that was unmounted at the staging path has ended', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, BINDFS)
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    const daemon = volume.daemon()
    assert.equal((await sandbox.run('umount', ['-l', volume.staging])).status, 0)
    process.kill(daemon, 'SIGKILL')
    await eventually('the daemon is gone', () => processStat(daemon) === undefined)
    assert.deepEqual(await volume.publish(), OK)
    assert.notEqual(volume.daemon(), daemon)
    assert.equal(mountAt(volume.staging).device, mountAt(volume.target).device)
    assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), 'hello\n')
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    await nothingLeft(sandbox, plugin)
  })

  it('tells a hung program, kills it when it is unstaged, and reports it as HUNG before', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, BINDFS)
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual(await volume.stage(), OK)
    await stop(volume.daemon())
    assert.deepEqual(await volume.reasons(), ['DaemonHung'])
    assert.deepEqual(await volume.unstage(), OK)
    await nothingLeft(sandbox, plugin)
  })

  it('stacks a new session on a dead target: a HostToContainer consumer reads again, and one without propagation is stale', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveStacking(sandbox)
    const volume = greetingVolume(sandbox, plugin)
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    const slave = await PodMounts.start(sandbox, volume.target, 'slave')
    const alone = await PodMounts.start(sandbox, volume.target, 'private')
    assert.deepEqual([await slave.reads(), await alone.reads()], [true, true])
    await plugin.kill()
    await plugin.restart()
    await slave.recovers()
    assert.equal(await alone.reads(), false)
    assert.deepEqual(await volume.reasons(), ['ConsumerStale'])
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    assert.deepEqual([sandbox.mounts(), keptOfPrograms(plugin)], [[sandbox.path], []])
  })

  for (const moment of ['first', 'again, on top of a dead mount'] as const)
    it(`knows a target after a plugin that was killed when it had bound it: ${moment}`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await serveStacking(sandbox)
      const volume = greetingVolume(sandbox, plugin)
      assert.deepEqual(await volume.stage(), OK)
      if (moment !== 'first') {
        assert.deepEqual(await volume.publish(), OK)
        const daemon = volume.daemon()
        process.kill(daemon, 'SIGKILL')
        await eventually('the daemon is gone', () => processStat(daemon) === undefined)
      }
      const before = layersAt(volume.target).length
      const strace = await attach(sandbox, plugin.pid, ['-e', 'inject=move_mount:delay_exit=600s'], false)
      const cut = volume.publish()
      await eventually('the target is bound', () => layersAt(volume.target).length === before + 1)
      process.kill(plugin.pid, 'SIGKILL')
      // The kernel tells nobody of the end before its tracer has ended too.
      strace.child.kill('SIGKILL')
      await plugin.kill()
      assert.equal((await cut).code, 'UNAVAILABLE')
      await plugin.restart()
      assert.doesNotMatch(plugin.log(), /failed to remount/)
      assert.deepEqual(await volume.publish(), OK)
      assert.equal(readFileSync(join(volume.target, 'dummy-file.txt'), 'utf8'), GREETING)
      assert.deepEqual([layersAt(volume.target).length, await volume.reasons()], [2, []])
      assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
      assert.deepEqual([sandbox.mounts(), keptOfPrograms(plugin)], [[sandbox.path], []])
    })

  it('waits for a mount that comes after the command has returned with 0 (#1079)', async () => {
    await using sandbox = new Sandbox()
    const file = shell('(sleep 0.5; exec bindfs -f "$0" "$1") >/dev/null 2>&1 & exit 0', { start: 'background' })
    using plugin = await serveProgram(sandbox, programFile(sandbox, file), { args: ['--fuse-host', 'detached'] })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    assert.equal(readFileSync(join(volume.target, 'f'), 'utf8'), 'hello\n')
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    await nothingLeft(sandbox, plugin)
  })

  it('has a program serve that goes to the background although its file says foreground', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, programFile(sandbox, shell('exec bindfs "$0" "$1"')))
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual(await volume.stage(), OK)
    assert.deepEqual(await volume.unstage(), OK)
    await nothingLeft(sandbox, plugin)
  })

  /** Programs that do not mount: the line, and what the call is answered. */
  const FAILURES: Readonly<Record<string, readonly [line: string, code: string, details: RegExp, deadline?: number]>> = {
    'ends with 0 and mounts nothing (#1081)': [
      'echo the storage cannot be reached >&2; exit 0',
      'UNAVAILABLE',
      /peer ended with exit status 0, but nothing is mounted and none of its processes runs: the storage cannot be reached$/,
    ],
    'says why it fails': [
      'echo first >&2; echo no such bucket; exit 3',
      'UNAVAILABLE',
      /peer ended with exit status 3 before it had mounted: first; no such bucket$/,
    ],
    'is killed': ['kill -9 $$', 'UNAVAILABLE', /peer ended with SIGKILL before it had mounted: it said nothing$/],
    'never mounts': [
      'echo waiting >&2; sleep 1000',
      'DEADLINE_EXCEEDED',
      /peer did not mount within \d\.\d s and was killed; it said: waiting$/,
      4,
    ],
    'leaves a process that would mount after the deadline': [
      '(setsid sh -c \'sleep 8; exec bindfs -f "$0" "$1"\' "$0" "$1") >/dev/null 2>&1 & exit 0',
      'DEADLINE_EXCEEDED',
      /peer did not mount within \d\.\d s and was killed$/,
      4,
    ],
    'mounts somewhere else': [
      'mkdir "$0/../other"; exec bindfs -f "$0" "$0/../other"',
      'DEADLINE_EXCEEDED',
      /peer did not mount within \d\.\d s and was killed$/,
      4,
    ],
    'mounts, and never answers': [
      `exec ${DUMMY_FUSE} -f --inject init-hang "$1"`,
      'DEADLINE_EXCEEDED',
      /peer did not mount within \d\.\d s and was killed/,
      4,
    ],
  }
  for (const [what, [line, code, details, deadline]] of Object.entries(FAILURES))
    it(`answers ${code} for a program that ${what}, and leaves nothing`, async () => {
      await using sandbox = new Sandbox()
      const args = ['--fuse-host', 'detached', ...(deadline === undefined ? [] : ['--call-deadline', String(deadline)])]
      using plugin = await serveProgram(sandbox, programFile(sandbox, shell(line)), { args })
      // The plugin's deadline ends the call. A busy client still reads the answer.
      const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) }, deadline: 50_000 })
      const answer = await volume.stage()
      assert.equal(answer.code, code, answer.details)
      assert.match(answer.details, details)
      await nothingLeft(sandbox, plugin)
      assert.deepEqual(await volume.unstage(), OK)
    })

  it('says that a program which was killed is still in the kernel, starts no other before it has ended, and leaves nothing then', async () => {
    await using sandbox = new Sandbox()
    using hang = new SilentMount(sandbox.directory('hang'), 'fuse.silent')
    // A second lookup in one directory waits for the first without a signal that would end it.
    const first = sandbox.start('stat', [join(hang.path, 'a')])
    await eventually(
      'the first lookup waits',
      () => processStat(first.pid)?.comm === 'stat' && processStat(first.pid)?.state !== 'R',
    )
    const file = shell(`stat ${join(hang.path, 'b')}; exec bindfs -f "$0" "$1"`)
    const args = ['--fuse-host', 'detached', '--call-deadline', '5']
    using plugin = await serveProgram(sandbox, programFile(sandbox, file), { args })
    // The plugin's deadline ends the call. A busy client still reads the answer.
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) }, deadline: 50_000 })
    const answer = await volume.stage()
    assert.equal(answer.code, 'DEADLINE_EXCEEDED', answer.details)
    assert.match(answer.details, /and was killed \(it is still in the kernel; what it mounts is unmounted\)/)
    const again = await volume.stage()
    assert.equal(again.code, 'UNAVAILABLE')
    assert.match(again.details, /an earlier peer of .* was killed, but is still in the kernel; call again$/)
    hang.die()
    await first.ended
    await sandbox.run('umount', ['-l', hang.path])
    await eventually('its record is gone', () => keptOfPrograms(plugin).length === 0)
    assert.deepEqual(await volume.unstage(), OK)
    await nothingLeft(sandbox, plugin)
  })

  it('undoes the start that a plugin has begun when it was killed', async () => {
    await using sandbox = new Sandbox()
    const file = shell('(sleep 3; exec bindfs -f "$0" "$1") & sleep 1000')
    using plugin = await serveProgram(sandbox, programFile(sandbox, file), { args: ['--fuse-host', 'detached'] })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    const staged = volume.stage()
    await eventually('the program runs', () => keptOfPrograms(plugin).some((name) => name.startsWith('programs/')))
    await eventually('its shell runs', () => sandbox.processes('sleep').length + sandbox.processes('sh').length > 0)
    await plugin.kill()
    assert.equal((await staged).code, 'UNAVAILABLE')
    await plugin.restart()
    await eventually('its processes are gone', () => sandbox.processes().filter((pid) => pid !== plugin.pid).length === 0)
    await eventually('its record is gone', () => keptOfPrograms(plugin).filter((name) => name.startsWith('programs/')).length === 0)
    assert.deepEqual(await volume.unstage(), OK)
    await nothingLeft(sandbox, plugin)
  })

  it('keeps a foreign FUSE mount apart from its own, also of the same program', async () => {
    await using sandbox = new Sandbox()
    const parameters = { source: source(sandbox) }
    using plugin = await serveProgram(sandbox, BINDFS)
    const volume = new ProgramVolume(sandbox, plugin, { parameters })
    const foreign = sandbox.start('bindfs', ['-f', parameters.source, volume.staging])
    await eventually('it is mounted', () => existsSync(join(volume.staging, 'f')))
    const answer = await volume.stage()
    assert.equal(answer.code, 'FAILED_PRECONDITION')
    assert.match(answer.details, /is a mount point of fuse already; unmount that first$/)
    assert.match(
      (await volume.unstage()).details,
      /is a mount point of fuse \(.*\), which this plugin has not mounted; unmount it by hand/,
    )
    assert.equal(readFileSync(join(volume.staging, 'f'), 'utf8'), 'hello\n')
    foreign.child.kill('SIGTERM')
    await foreign.ended
    assert.deepEqual([await volume.stage(), await volume.unstage()], [OK, OK])
  })

  it('unmounts what covers a staged volume, and ends its program', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, BINDFS)
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual(await volume.stage(), OK)
    mount('-t', 'tmpfs', 'tmpfs', volume.staging)
    assert.deepEqual(await volume.unstage(), OK)
    await nothingLeft(sandbox, plugin)
  })

  it('answers UNAVAILABLE when the program is gone, and serves by it when it is back', async () => {
    await using sandbox = new Sandbox()
    const program = join(sandbox.path, 'program')
    const text = `#!/bin/sh\nexec bindfs -f ${source(sandbox)} "$1"\n`
    const write = (): void => {
      writeFileSync(program, text, { mode: 0o755 })
    }
    write()
    const file = programFile(sandbox, { name: 'peer', command: [program, '{target}'] })
    using plugin = await serveProgram(sandbox, file, { args: ['--fuse-host', 'detached'] })
    const volume = new ProgramVolume(sandbox, plugin)
    rmSync(program)
    const answer = await volume.stage()
    assert.equal(answer.code, 'UNAVAILABLE')
    assert.match(answer.details, /cannot start peer: spawn .*\/program ENOENT$/)
    await nothingLeft(sandbox, plugin)
    write()
    assert.deepEqual([await volume.stage(), await volume.unstage()], [OK, OK])
    await nothingLeft(sandbox, plugin)
  })

  it('sets the flags that the kernel obeys at each target, gives the program those of its file, and refuses others', async () => {
    await using sandbox = new Sandbox()
    const parameters = { source: source(sandbox) }
    using plugin = await serveProgram(sandbox, BINDFS)
    const volume = new ProgramVolume(sandbox, plugin, { parameters, mountFlags: ['noexec', 'max_read=65536'] })
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    assert.ok(mountAt(volume.target).options.includes('noexec'))
    await plugin.logged('exec bindfs [-f -o allow_other,max_read=65536 ')
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    for (const [mountFlags, details] of [
      [['suid'], /^mount_flags: mount flag 'suid' is not allowed for bindfs; allowed are ro, max_read, /],
      [['force-user=0'], /mount flag 'force-user' is not allowed for bindfs/],
      [['max_read=1,suid'], /mount flag 'max_read' is not a text that matches/],
    ] as const) {
      const answer = await volume.stage({ parameters, mountFlags })
      assert.equal(answer.code, 'INVALID_ARGUMENT')
      assert.match(answer.details, details)
    }
  })

  it('allows the parameters of its file alone', async () => {
    await using sandbox = new Sandbox()
    const parameters = { source: source(sandbox) }
    using plugin = await serveProgram(sandbox, BINDFS, { args: ['--role', 'identity,node,controller'] })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { ...parameters, 'csi.storage.k8s.io/pv/name': 'pv' } })
    assert.deepEqual(await volume.create(), parameters)
    for (const [given, details] of [
      [{}, /^volume_context: parameter 'source' is missing; give it a text that matches /],
      [{ source: '/etc/../root' }, /parameter 'source' is not a text that matches /],
      [{ ...parameters, other: 'x' }, /parameter 'other' is not allowed for bindfs; allowed are source, mapUser$/],
      [{ ...parameters, mapUser: '1,allow_root' }, /parameter 'mapUser' is not a text that matches /],
    ] as const) {
      const answer = await volume.stage({ parameters: given })
      assert.deepEqual(answer.code, 'INVALID_ARGUMENT')
      assert.match(answer.details, details)
    }
    assert.deepEqual([await volume.stage(), await volume.unstage()], [OK, OK])
    await plugin.logged('exec bindfs [')
  })

  it('serves an inline ephemeral volume with the parameters that a pod may set', async () => {
    await using sandbox = new Sandbox()
    const file = shell('exec bindfs -f "$0" "$1"', {
      parameters: { source: { pattern: '/.*', inline: true }, other: { values: ['a'], default: 'a' } },
    })
    using plugin = await serveProgram(sandbox, programFile(sandbox, file))
    const targetPath = join(sandbox.directory('pods'), 'mount')
    const publish = (context: Readonly<Record<string, string>>): Promise<{ code: string; details: string }> =>
      outcome(
        plugin.call(Node.method.nodePublishVolume, {
          ...{ volumeId: 'inline', targetPath, volumeCapability: mountCapability('SINGLE_NODE_WRITER') },
          volumeContext: { 'csi.storage.k8s.io/ephemeral': 'true', ...context },
        }),
      )
    const refused = await publish({ source: source(sandbox), other: 'a' })
    assert.equal(refused.code, 'INVALID_ARGUMENT')
    assert.match(refused.details, /a pod may not set parameter 'other' of peer; allowed are source$/)
    const option = await publish({ source: source(sandbox), mountOptions: 'suid' })
    assert.match(option.details, /a pod may not set mount option 'suid' of peer/)
    assert.deepEqual(await publish({ source: source(sandbox), mountOptions: 'noexec' }), OK)
    assert.equal(readFileSync(join(targetPath, 'f'), 'utf8'), 'hello\n')
    assert.ok(mountAt(targetPath).options.includes('noexec'))
    await plugin.unpublish('inline', targetPath)
    assert.deepEqual([...keptOfPrograms(plugin), ...plugin.entries()], [])
  })

  it('refuses to start on a state folder whose volumes another program serves', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, BINDFS, { args: ['--fuse-host', 'detached'] })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual(await volume.stage(), OK)
    await plugin.stop()
    const { status, stderr } = await Plugin.fails(sandbox)
    assert.equal(status, 1)
    assert.match(stderr, /volume v1 in the state folder .* is served by bindfs, and this plugin serves by dummy-fuse; unstage it/)
    await plugin.restart()
    assert.deepEqual(await volume.unstage(), OK)
  })
})

describe('secrets of serve --program', () => {
  const SECRET = 'correct-horse-battery'
  const file = (line: string, more: object = {}): object =>
    shell(line, {
      command: ['sh', '-c', line, '{param:source}', '{target}', '{secret-file:password}', '{file:config}'],
      secrets: ['password'],
      files: { config: 'password = {secret:password}\n' },
      environment: { PASSWORD: '{secret:password}' },
      ...more,
    })

  it('are in private files in memory and in the environment, on no command line, in no log and no answer, and are removed with the volume', async () => {
    await using sandbox = new Sandbox()
    const line =
      'test "$(cat "$2")" = "$PASSWORD" && grep -q "password = $PASSWORD" "$3" || exit 9; echo "trying $PASSWORD" >&2; exec bindfs -f "$0" "$1"'
    using plugin = await serveProgram(sandbox, programFile(sandbox, file(line)), { args: ['--fuse-host', 'detached'] })
    const volume = new ProgramVolume(sandbox, plugin, {
      parameters: { source: source(sandbox) },
      secrets: { password: SECRET, other: 'x' },
    })
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    await plugin.logged(': trying ***stripped***')
    const [place = ''] = readdirSync(join(plugin.stateDir, 'secrets'))
    const folder = join(plugin.stateDir, 'secrets', place)
    assert.deepEqual(readdirSync(folder).sort(), ['file-config', 'output', 'secret-password'])
    for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name)
    const { stdout: type } = await sandbox.run('stat', ['-f', '-c', '%T', folder])
    assert.equal(type, 'tmpfs\n')
    assert.ok(!sandbox.processes().some((pid) => showsToUsers(pid, SECRET)))
    const { stdout: found } = await sandbox.run('grep', ['-rlF', '--exclude-dir=secrets', SECRET, plugin.stateDir])
    assert.equal(found, '')
    // The daemon that is mounted again has them too.
    process.kill(volume.daemon(), 'SIGKILL')
    await eventually('the volume is dead', async () => (await volume.reasons()).includes('DaemonDead'))
    assert.deepEqual(await volume.publish(), OK)
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    await nothingLeft(sandbox, plugin)
    assert.ok(!plugin.log().includes(SECRET))
  })

  it('do not reach the answer through what the program says, and have to be given', async () => {
    await using sandbox = new Sandbox()
    using plugin = await serveProgram(sandbox, programFile(sandbox, file('echo "wrong password $PASSWORD" >&2; exit 1')))
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) }, secrets: { password: SECRET } })
    const answer = await volume.stage()
    assert.match(answer.details, /before it had mounted: wrong password \*\*\*stripped\*\*\*$/)
    const without = await volume.stage({ parameters: { source: source(sandbox) } })
    assert.equal(without.code, 'INVALID_ARGUMENT')
    assert.match(without.details, /^secrets has no password; name a Secret with that key/)
    await nothingLeft(sandbox, plugin)
  })

  it('with keepSecrets: mounted are gone once it has mounted, and a call that would need them says so', async () => {
    await using sandbox = new Sandbox()
    const spec = file('exec bindfs -f "$0" "$1"', { keepSecrets: 'mounted' })
    using plugin = await serveProgram(sandbox, programFile(sandbox, spec))
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) }, secrets: { password: SECRET } })
    assert.deepEqual([await volume.stage(), await volume.publish()], [OK, OK])
    assert.deepEqual((await sandbox.run('grep', ['-rlF', SECRET, plugin.stateDir])).stdout, '')
    process.kill(volume.daemon(), 'SIGKILL')
    await eventually('the volume is dead', async () => (await volume.reasons()).includes('DaemonDead'))
    const answer = await volume.publish()
    assert.equal(answer.code, 'FAILED_PRECONDITION')
    assert.match(answer.details, /secret password of volume v1 is not kept on this node any more/)
    assert.deepEqual(await volume.stage(), OK)
    assert.deepEqual([await volume.unpublish(), await volume.unstage()], [OK, OK])
    await nothingLeft(sandbox, plugin)
  })
})

describe('the end of a program', () => {
  it('comes by the signal of its file, before the unmount', async () => {
    await using sandbox = new Sandbox()
    const file = shell('exec bindfs -f "$0" "$1"', { stop: { by: 'signal', signal: 'SIGINT', within: 5 } })
    using plugin = await serveProgram(sandbox, programFile(sandbox, file))
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual([await volume.stage(), await volume.unstage()], [OK, OK])
    await plugin.logged(`kill -SIGINT the peer of ${volume.staging}`)
    await nothingLeft(sandbox, plugin)
  })

  it('comes by the command of its file', async () => {
    await using sandbox = new Sandbox()
    const file = shell('exec bindfs -f "$0" "$1"', {
      stop: { by: 'command', command: ['fusermount3', '-u', '{target}'], within: 5 },
    })
    using plugin = await serveProgram(sandbox, programFile(sandbox, file))
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    assert.deepEqual([await volume.stage(), await volume.unstage()], [OK, OK])
    await plugin.logged(`exec fusermount3 [-u ${volume.staging}]`)
    await nothingLeft(sandbox, plugin)
  })

  it('takes as long as its file gives it, through several calls, and is a kill after that', async () => {
    await using sandbox = new Sandbox()
    const slow = shell('bindfs -f "$0" "$1"; echo flushing; sleep 1000', { stop: { within: 4 } })
    using plugin = await serveProgram(sandbox, programFile(sandbox, slow), { args: ['--call-deadline', '2'] })
    const volume = new ProgramVolume(sandbox, plugin, { parameters: { source: source(sandbox) } })
    // The two seconds are for the end of the program: a busy machine may need several calls to start it.
    await eventually('it is staged', async () => (await volume.stage()).code === 'OK', 60_000)
    const first = await volume.unstage()
    assert.equal(first.code, 'UNAVAILABLE')
    assert.match(first.details, /the peer of .* is still ending after \d\.\d s, and its file gives it 4 s; call again$/)
    await eventually('it is over', async () => (await volume.unstage()).code === 'OK', 20_000)
    await nothingLeft(sandbox, plugin)
  })
})

describe('serve --program --check', () => {
  it('says what is missing', async () => {
    await using sandbox = new Sandbox()
    const good = await sandbox.run(EXECUTABLE, ['serve', '--program', BINDFS, '--check'])
    assert.equal(good.status, 0, good.stderr)
    assert.match(
      good.stdout,
      /^ok {7}.*bindfs\.yaml describes bindfs\nok {7}program bindfs\nok {7}program setpriv\nok {7}\/dev\/fuse\n/,
    )
    const file = programFile(sandbox, { name: 'nowhere', command: ['no-such-fuse', '{target}'], needs: ['no-such-helper'] })
    const bad = await sandbox.run(EXECUTABLE, ['serve', '--program', file, '--check'])
    assert.equal(bad.status, 1)
    assert.match(
      bad.stdout,
      /^missing {2}program no-such-fuse: no-such-fuse is not on PATH \(.*\); install it, or name its full path$/m,
    )
    assert.match(bad.stdout, /^missing {2}program no-such-helper: /m)
    const { status, stderr } = await Plugin.fails(sandbox, { args: ['--program', file] })
    assert.equal(status, 1)
    assert.match(stderr, /nowhere cannot be served: no-such-fuse is not on PATH/)
  })

  it('is refused with the host modes that cannot serve by a program', async () => {
    await using sandbox = new Sandbox()
    for (const [args, line] of [
      [['--daemons', 'shared'], /--daemons shared cannot serve by --program: /],
      [['--fuse-backend', 'fuse-native'], /--fuse-backend is of dummy-fuse/],
      [['--daemonize', 'early'], /--daemonize early is a flaw for dummy-fuse/],
      [['--inject', 'mount-fail'], /--inject has daemons of dummy-fuse fail/],
    ] as const) {
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['serve', '--program', BINDFS, ...args])
      assert.equal(status, 2)
      assert.match(stderr, line)
    }
  })
})
