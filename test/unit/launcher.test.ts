import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { OWN_PID } from '../../src/keeper/command.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { Libc } from '../../src/os/libc.ts'
import { EXEC_FAILED, Launcher } from '../../src/os/processes/launcher.ts'
import { ChildProgram } from '../../src/os/processes/child-program.ts'
import { launcherImage } from '../support/launcher.ts'
import { Sandbox } from '../support/sandbox.ts'

/** Runs a program by way of the launcher. */
async function launched(file: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  await using sandbox = new Sandbox()
  const launcher = new Launcher(new Libc(new AddonLoader()), launcherImage(sandbox, 'keep'))
  try {
    const child = new ChildProgram({ file: launcher.path, args: [file, ...args], env, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout?.on('data', (text: Buffer) => (output += text.toString()))
    return { pid: child.pid, end: await child.closed, output }
  } finally {
    launcher.close()
  }
}

describe("keep's launcher", () => {
  it('executes the program with its arguments, and writes its id into LISTEN_PID and WATCHDOG_PID alone', async () => {
    const env = {
      LISTEN_PID: OWN_PID,
      WATCHDOG_PID: OWN_PID,
      LISTEN_PIDS: OWN_PID,
      LISTEN_PI: '0',
      MY_LISTEN_PID: OWN_PID,
      EMPTY: '',
    }
    const { pid, end, output } = await launched('/bin/sh', ['sh', '-c', 'echo "$0 $1"; env -u PWD -u _', 'a b'], env)
    assert.deepEqual(end, { status: 0, signal: null })
    const [words, ...variables] = output.trimEnd().split('\n')
    assert.equal(words, 'a b ')
    const expected = { ...env, LISTEN_PID: String(pid), WATCHDOG_PID: String(pid) }
    // dash adds PWD, OLDPWD and SHLVL.
    const seen = variables.filter((line) => !/^(OLDPWD|SHLVL)=/.test(line))
    // env(1) is a child of the shell, which has replaced the launcher: both see the launcher's id.
    assert.deepEqual(
      seen.toSorted(),
      Object.entries(expected)
        .map(([name, value]) => `${name}=${value}`)
        .toSorted(),
    )
  })

  it('ends with EXEC_FAILED when the program cannot be executed', async () => {
    await using sandbox = new Sandbox()
    const file = join(sandbox.path, 'no-program')
    writeFileSync(file, 'text', { mode: 0o700 })
    assert.deepEqual((await launched(file, ['no-program'], {})).end, { status: EXEC_FAILED, signal: null })
  })

  it('ends with EXEC_FAILED when another process than its keeper has started it', async () => {
    await using sandbox = new Sandbox()
    const launcher = new Launcher(new Libc(new AddonLoader()), launcherImage(sandbox, 'keep'))
    try {
      const script = '"$1" /bin/true true; echo $?'
      const child = new ChildProgram({
        file: '/bin/sh',
        args: ['-c', script, 'sh', launcher.path],
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      child.stdout?.on('data', (text: Buffer) => (output += text.toString()))
      await child.closed
      assert.equal(output, `${EXEC_FAILED}\n`)
    } finally {
      launcher.close()
    }
  })

  it('has the kernel end the program by SIGTERM when its keeper dies', async () => {
    await using sandbox = new Sandbox()
    const keeper = join(sandbox.path, 'keeper.mjs')
    const source = join(import.meta.dirname, '../../src')
    const image = join(sandbox.path, 'image')
    writeFileSync(image, launcherImage(sandbox, 'keep'))
    writeFileSync(
      keeper,
      `import { readFileSync } from 'node:fs'
import { Launcher } from '${source}/os/processes/launcher.ts'
import { AddonLoader } from '${source}/os/addons.ts'
import { Libc } from '${source}/os/libc.ts'
import { ChildProgram } from '${source}/os/processes/child-program.ts'
const launcher = new Launcher(new Libc(new AddonLoader()), readFileSync('${image}'))
const script = 'trap "echo TERM; exit" TERM; echo ready; while :; do sleep 0.05; done'
new ChildProgram({ file: launcher.path, args: ['/bin/sh', 'sh', '-c', script], stdio: ['ignore', 'inherit', 'inherit'] })
setInterval(() => undefined, 1000)`,
    )
    const child = new ChildProgram({ file: process.execPath, args: [keeper], stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout?.on('data', (text: Buffer) => {
      output += text.toString()
      if (output === 'ready\n') child.kill()
    })
    // `closed` waits for the program too, which has the keeper's standard output.
    assert.deepEqual(await child.closed, { status: null, signal: 'SIGKILL' })
    assert.equal(output, 'ready\nTERM\n')
  })
})
