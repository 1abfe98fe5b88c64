import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Node } from '../../src/rpc/csi_pb.ts'
import { outcome } from '../support/csi-client.ts'
import { FullNotifySocket } from '../support/full-notify-socket.ts'
import { FusedProcess } from '../support/fused.ts'
import { mount } from '../support/mounts.ts'
import { DUMMY_FUSE, EXECUTABLE, WORKLOAD } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** A name with a line that looks like one of status, escape sequences of 7 and of 8 bits, a line separator and an override of direction. */
const HOSTILE = 'x\nvolume "forged": healthy\u001b[31m\u009b2J\u2028\u202ey\u007f'

/** Everything that a terminal obeys, ends of lines apart. */
const OBEYED = /[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/

function assertPrintable(text: string): void {
  assert.doesNotMatch(text, OBEYED)
  assert.doesNotMatch(text, /^volume "forged"/m)
}

describe('names with line feeds and escape sequences', () => {
  it('forge no line of status, and reach no terminal by it', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox)
    const staging = sandbox.directory(HOSTILE)
    await plugin.stage(HOSTILE, staging)
    const args = ['status', '--state-dir', plugin.stateDir]
    const text = await sandbox.run(EXECUTABLE, args)
    assert.equal(text.status, 0, text.stderr)
    assertPrintable(text.stdout)
    assert.equal(text.stdout.trimEnd().split('\n').length, 3)
    assert.match(
      text.stdout,
      /^ {2}staged {4}\S+\/x\\nvolume "forged": healthy\\u001b\[31m\\u009b2J\\u2028\\u202ey\\u007f {2}MOUNTED/m,
    )
    const json = await sandbox.run(EXECUTABLE, [...args, '--json'])
    assertPrintable(json.stdout)
    const { volumes } = JSON.parse(json.stdout) as { volumes: { volumeId: string; stagingPath: string }[] }
    assert.deepEqual([volumes[0]?.volumeId, volumes[0]?.stagingPath], [HOSTILE, staging])

    process.kill(plugin.daemonOf(staging), 'SIGKILL')
    await eventually('the volume is unwell', async () => (await plugin.reasons(HOSTILE)).length > 0)
    assertPrintable((await sandbox.run(EXECUTABLE, args)).stdout)
    const { volumeHealth } = await plugin.call(Node.method.nodeGetVolumeHealth, { volumeId: HOSTILE })
    for (const { message } of volumeHealth?.healthStatuses ?? []) assertPrintable(message.replaceAll('\n', '\0'))
    await plugin.unstage(HOSTILE, staging)
  })

  for (const format of ['text', 'json']) {
    it(`stay within one line of the log (${format}) and of an answer, in the plugin and in dummy-fused`, async () => {
      await using sandbox = new Sandbox()
      const fused = await FusedProcess.start(sandbox, { args: ['--log-format', format] })
      using plugin = await Plugin.start(sandbox, {
        args: ['--fuse-host', 'service', '--fused-socket', fused.socket, '--log-format', format],
      })
      const volume = new Volume(sandbox, plugin, HOSTILE)
      await volume.publish()
      await volume.unpublish()
      await volume.unstage()
      const foreign = sandbox.directory(HOSTILE)
      mount('-t', 'tmpfs', `source-${HOSTILE}`, foreign)
      for (const call of [
        () => plugin.stage('v', foreign),
        () => plugin.unstage('v', foreign),
        () => fused.mount(`${foreign}/absent`),
      ]) {
        const { code, details } = await outcome(call())
        assert.equal(code, 'FAILED_PRECONDITION')
        assertPrintable(details.replaceAll('\n', '\0'))
      }
      for (const log of [plugin.log(), fused.log()]) {
        assertPrintable(log)
        for (const line of log.trimEnd().split('\n'))
          assert.match(line, format === 'json' ? /^\{"time":".*\}$/ : /^\d{4}\/\d\d\/\d\d /)
      }
    })
  }

  const ERRORS: Readonly<Record<string, (path: string) => readonly [string, ...string[]]>> = {
    'a mount point that is missing': (path) => [DUMMY_FUSE, `${path}/${HOSTILE}`],
    'a mount point that is missing, in the foreground': (path) => [DUMMY_FUSE, '-f', `${path}/${HOSTILE}`],
    'a mount option': (path) => [DUMMY_FUSE, '-o', HOSTILE, path],
    'a log file': (path) => [DUMMY_FUSE, '--log-file', `${path}/${HOSTILE}/log`, path],
    'a fault': (path) => [DUMMY_FUSE, '--inject', HOSTILE, path],
    'a program': () => [EXECUTABLE, HOSTILE],
    'an option': () => [EXECUTABLE, 'serve', `--${HOSTILE}`],
    'an endpoint': (path) => [EXECUTABLE, 'serve', '--endpoint', `unix:///proc/${HOSTILE}/s`, '--state-dir', path],
    'a state folder': (path) => [EXECUTABLE, 'serve', '--endpoint', `unix://${path}/s`, '--state-dir', `/proc/${HOSTILE}`],
    'a state folder of dummy-fused': (path) => [EXECUTABLE, 'fused', '--socket', `${path}/s`, '--state-dir', `/proc/${HOSTILE}`],
    'a state folder of standby': (path) => [EXECUTABLE, 'standby', '--state-dir', `${path}/${HOSTILE}`],
    'a state folder of status': (path) => [EXECUTABLE, 'status', '--state-dir', `${path}/file/${HOSTILE}`],
    'the program of keep': (path) => [EXECUTABLE, 'keep', '--', `${path}/${HOSTILE}`],
    'the file of a workload': (path) => [WORKLOAD, '--exit-on-error', '--file', `${path}/${HOSTILE}`],
    'a scenario': () => [EXECUTABLE, 'lab', 'run', HOSTILE],
    'a report': (path) => [EXECUTABLE, 'lab', 'run', '--report', `${path}/${HOSTILE}/report`],
  }
  for (const [what, command] of Object.entries(ERRORS)) {
    it(`stay within one line of an error: ${what}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const [file, ...args] = command(path)
      writeFileSync(join(sandbox.path, 'file'), '')
      const { stdout, stderr } = await sandbox.run(file, args)
      assertPrintable(stdout + stderr)
      assert.match(stdout + stderr, /\\n/)
      for (const line of (stdout + stderr).trimEnd().split('\n')) assert.match(line, /^(\d{4}\/|dummy-|no volumes in )/)
    })
  }

  it('reach no terminal by --help', async () => {
    await using sandbox = new Sandbox()
    const { stdout } = await sandbox.run(EXECUTABLE, ['serve', '--help'], {
      env: { ...process.env, CSI_ENDPOINT: `unix:///${HOSTILE}` },
    })
    assertPrintable(stdout)
    assert.match(stdout, /\\u001b/)
  })

  it('are no assignment to the service manager', async () => {
    await using sandbox = new Sandbox()
    using notify = new FullNotifySocket(sandbox.path)
    notify.read()
    const endpoint = `unix://${sandbox.path}/a\nMAINPID=1`
    const serve = ['serve', '--endpoint', endpoint, '--state-dir', join(sandbox.path, 'state')]
    const running = sandbox.start(EXECUTABLE, serve, { env: { ...process.env, NOTIFY_SOCKET: notify.path } })
    const ready = await eventually(`READY=1 arrives: ${running.output()}`, () =>
      notify.messages.find((text) => text.includes('READY=1')),
    )
    assert.match(ready, /^STATUS=Serving on \S+\/a\\nMAINPID=1$/m)
    assert.doesNotMatch(ready, /^MAINPID/m)
    running.child.kill('SIGTERM')
    assert.equal((await running.ended).status, 0)
  })
})
