import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Plugin } from '../support/plugin.ts'
import { EXAMPLES, ProgramVolume } from '../support/program.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Volume } from '../support/volume.ts'

/** Executes its arguments in namespaces of their own, where systemd seems to run the machine: process 1 has its name, or another. */
const machine = (first: string): readonly string[] => [
  'unshare',
  ...['--mount', '--propagation', 'private', '--pid', '--fork', '--mount-proc', '--kill-child'],
  'bash',
  ...['-c', `mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && printf ${first} >/proc/$$/comm && "$@"; exit $?`, 'bash'],
]

interface Case {
  readonly first?: string
  /** A shell script in the place of systemd-run; undefined: the real one, which finds no bus; `none`: there is none. */
  readonly systemdRun?: string
  /** What the log says of it, once. */
  readonly says: RegExp
}

const CASES: Readonly<Record<string, Case>> = {
  'there is no bus': {
    says: /systemd gives no scope to a daemon \(Failed to connect to bus: .*\): daemons are started in sessions/g,
  },
  'the scope is refused': {
    systemdRun: 'echo Failed to start transient scope unit: Access denied >&2; exit 1',
    says: /systemd gives no scope to a daemon \(Failed to start transient scope unit: Access denied\): /g,
  },
  'the bus hangs': {
    systemdRun: 'kill -STOP $$',
    says: /systemd gives no scope to a daemon \(systemd-run has not answered within 3 s\): /g,
  },
  'there is no systemd-run': { systemdRun: 'none', says: /systemd runs this machine, but systemd-run is not on PATH \(.*\): /g },
  'it is the systemd of another machine': {
    first: 'pause',
    says: /\/run\/systemd\/system is there, but process 1 is pause, and not systemd: /g,
  },
}

/** The PATH on which a case's systemd-run is found. */
function pathFor(sandbox: Sandbox, script: string | undefined): string {
  if (script === undefined) return process.env.PATH ?? ''
  const folder = sandbox.directory('bin')
  if (script === 'none') return `${folder}:${withoutSystemdRun(sandbox)}`
  writeFileSync(join(folder, 'systemd-run'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, 'systemd-run'), 0o755)
  return `${folder}:${process.env.PATH ?? ''}`
}

/** A folder with nothing but what the plugin and the machine need. */
function withoutSystemdRun(sandbox: Sandbox): string {
  const folder = sandbox.directory('few')
  for (const name of ['unshare', 'bash', 'mount', 'mkdir', 'stat']) {
    writeFileSync(join(folder, name), `#!/bin/sh\nexec /usr/bin/${name} "$@"\n`)
    chmodSync(join(folder, name), 0o755)
  }
  return folder
}

/** A process's session (proc_pid_stat(5), field 6). */
function sessionOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[3])
}

describe('--fuse-host detached starts daemons in sessions of their own, and says why once', { concurrency: 3 }, () => {
  for (const [title, { first = 'systemd', systemdRun, says }] of Object.entries(CASES)) {
    for (const daemons of ['per-volume', 'shared'] as const) {
      it(`where ${title}: ${daemons}`, async () => {
        await using sandbox = new Sandbox()
        using plugin = await Plugin.start(sandbox, {
          args: ['--fuse-host', 'detached', '--daemons', daemons],
          by: machine(first),
          env: { PATH: pathFor(sandbox, systemdRun) },
        })
        const volumes = ['one', 'two', 'three'].map((id) => new Volume(sandbox, plugin, id))
        for (const volume of volumes) await volume.stage()
        for (const volume of volumes) assert.deepEqual(await volume.reasons(), [])
        const served = sandbox.processes(daemons === 'shared' ? 'dummy-fused' : 'dummy-fuse')
        assert.equal(served.length, daemons === 'shared' ? 1 : 3)
        for (const pid of served) assert.equal(sessionOf(pid), pid)
        assert.equal(plugin.log().match(says)?.length, 1, plugin.log())
        for (const volume of volumes) await volume.unstage()
      })
    }

    it(`where ${title}: a program`, async () => {
      await using sandbox = new Sandbox()
      using plugin = await Plugin.start(sandbox, {
        args: ['--fuse-host', 'detached', '--program', join(EXAMPLES, 'bindfs.yaml')],
        by: machine(first),
        env: { PATH: pathFor(sandbox, systemdRun) },
      })
      const asked = { parameters: { source: sandbox.directory('source') } }
      const volumes = ['one', 'two'].map((id) => new ProgramVolume(sandbox, plugin, asked, id))
      for (const volume of volumes) assert.deepEqual(await volume.stage(), { code: 'OK', details: '' })
      for (const volume of volumes) assert.deepEqual(await volume.reasons(), [])
      const served = sandbox.processes('bindfs')
      assert.equal(served.length, 2)
      for (const pid of served) assert.equal(sessionOf(pid), pid)
      assert.equal(plugin.log().match(says)?.length, 1, plugin.log())
      for (const volume of volumes) assert.deepEqual(await volume.unstage(), { code: 'OK', details: '' })
    })
  }
})
