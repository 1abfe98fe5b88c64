import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Identity } from '../../src/rpc/csi_pb.ts'
import { FusedProcess } from '../support/fused.ts'
import { childrenOf, PYTHON } from '../support/kept.ts'
import { mountDummyFuse } from '../support/mounting.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Plugin } from '../support/plugin.ts'
import { commOf, descriptorsOf, Sandbox } from '../support/sandbox.ts'
import { SpareProcess } from '../support/spare.ts'
import { StandbyProcess } from '../support/standby.ts'
import { Volume } from '../support/volume.ts'
import { eventually } from '../support/wait.ts'

/** Variables that have an ordinary Node listen for a debugger, or wait for one. */
const ENV = { NODE_OPTIONS: '--inspect-wait=127.0.0.1:0', NODE_INSPECT_RESUME_ON_START: '1', NODE_DEBUG: 'inspector' }

const SIGUSR1 = 1n << BigInt(constants.signals.SIGUSR1 - 1)

/** One of the signal sets of a thread in proc_pid_status(5), such as SigBlk. */
function signals(pid: number, thread: string, set: string): bigint {
  const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
  const [, mask = ''] = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status) ?? []
  return BigInt(`0x${mask}`)
}

/** The threads of a process that take SIGUSR1. A thread of Node's that ends meanwhile takes nothing. */
function takers(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).filter((thread) => {
    try {
      return (signals(pid, thread, 'SigBlk') & SIGUSR1) === 0n
    } catch (error) {
      if (existsSync(`/proc/${pid}/task/${thread}`)) throw error
      return false
    }
  })
}

/** Inodes of the TCP sockets that a process listens on. */
function listeningSockets(pid: number): string[] {
  const inodes = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .flatMap(([, , , state, , , , , , inode = '']) => (state === '0A' ? [inode] : [])),
  )
  const own = descriptorsOf(pid).map(({ target }) => target)
  return inodes.filter((inode) => own.includes(`socket:[${inode}]`))
}

/** Sends SIGUSR1, and looks whether it waits in the process, where no thread takes it, and nobody listens. */
async function staysShut(pid: number): Promise<void> {
  const name = commOf(pid)
  process.kill(pid, 'SIGUSR1')
  await eventually(`SIGUSR1 waits in ${name}`, () => (signals(pid, String(pid), 'ShdPnd') & SIGUSR1) !== 0n)
  assert.deepEqual(takers(pid), [], `threads of ${name} that take SIGUSR1`)
  assert.deepEqual(listeningSockets(pid), [], name)
}

describe('no inspector listens, whatever the environment says, and SIGUSR1 is without effect', () => {
  it('in the plugin and its daemon', async () => {
    await using sandbox = new Sandbox()
    using plugin = await Plugin.start(sandbox, { env: ENV })
    const volume = new Volume(sandbox, plugin, 'volume')
    await volume.stage()
    await staysShut(volume.daemon())
    await staysShut(plugin.pid)
    await plugin.call(Identity.method.probe)
    assert.deepEqual(await volume.reasons(), [])
    await volume.unstage()
  })

  it('in a spare, before and after it serves', async () => {
    await using sandbox = new Sandbox()
    const spare = new SpareProcess(sandbox)
    await spare.word(1)
    await staysShut(spare.pid)
    await spare.serve([sandbox.directory('mnt')])
    await staysShut(spare.pid)
    spare.hangUp()
  })

  it('in dummy-fuse in the background', async () => {
    await using sandbox = new Sandbox()
    await mountDummyFuse(sandbox)
    for (const pid of sandbox.processes('dummy-fuse')) await staysShut(pid)
  })

  it('in the parent that waits for it', async () => {
    await using sandbox = new Sandbox()
    const args = ['--inject', 'mount-delay=30', sandbox.directory('mnt')]
    const { pid } = sandbox.start(DUMMY_FUSE, args, { env: { ...process.env, ...ENV } })
    await eventually('its daemon starts', () => childrenOf(pid).length > 0)
    await staysShut(pid)
  })

  it('in dummy-fused and its standby; keep hands the signal on', async () => {
    await using sandbox = new Sandbox()
    const fused = await FusedProcess.start(sandbox, { keep: [], by: ['env', ...Object.entries(ENV).map((pair) => pair.join('='))] })
    await fused.mount(sandbox.directory('mnt'))
    const standby = await StandbyProcess.start(sandbox, fused)
    const { pid: program } = fused
    fused.running.child.kill('SIGUSR1')
    await eventually('keep hands it on', () => (signals(program, String(program), 'ShdPnd') & SIGUSR1) !== 0n)
    await staysShut(program)
    await staysShut(standby.pid)
    assert.deepEqual(listeningSockets(fused.running.pid), [])
    await fused.answers()
    assert.equal(fused.pid, program)
  })

  it('in the workload', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'file')
    writeFileSync(file, 'text')
    const reader = sandbox.start(EXECUTABLE, ['workload', '--file', file], { env: { ...process.env, ...ENV } })
    await eventually('it reads', () => reader.output().includes('reading'))
    await staysShut(reader.pid)
  })
})

/** Runs a command without a limit of its core file, and writes its process id; at its end, whether it left a core file. */
const DUMPER = `
import os, resource, sys
os.chdir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
pid = os.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
print('pid', pid, flush=True)
print('dumped' if os.WCOREDUMP(os.waitpid(pid, 0)[1]) else 'not dumped', flush=True)
`

describe('a plugin that crashes', () => {
  it('leaves no core file, which would hold the secrets of its calls', async (t) => {
    await using sandbox = new Sandbox()
    const crash = async (args: readonly string[], ready: RegExp): Promise<string> => {
      const running = sandbox.start(PYTHON, ['-c', DUMPER, sandbox.path, ...args])
      await eventually(`${args.join(' ')} is ready: ${running.output()}`, () => ready.test(running.output()))
      process.kill(Number(/pid (\d+)/.exec(running.output())?.[1]), 'SIGABRT')
      return (await running.ended).stdout
    }
    const other = await crash(['sleep', '60'], /pid \d+\n/)
    if (!other.includes('\ndumped')) {
      t.skip('this machine writes no core files: see /proc/sys/kernel/core_pattern')
      return
    }
    const args = [EXECUTABLE, 'serve', '--endpoint', join(sandbox.path, 'csi.sock'), '--state-dir', join(sandbox.path, 'state')]
    assert.match(await crash(args, /Listening for connections/), /\nnot dumped/)
  })
})
