import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('a product that is not what it should be', () => {
  /** Runs the lab with another plugin in the place of ours: ours with further flags. */
  async function labWith(flags: string, scenario: string): Promise<{ status: number | null; output: string }> {
    await using sandbox = new Sandbox()
    const plugin = join(sandbox.path, 'plugin')
    writeFileSync(plugin, `#!/bin/bash\nexec -a dummy-fuse-csi ${EXECUTABLE} "$@" ${flags}\n`, { mode: 0o755 })
    const script = join(sandbox.path, 'lab.ts')
    writeFileSync(
      script,
      `import { lab } from ${JSON.stringify(join(ROOT, 'src/programs/lab/program.ts'))}
const command = (argv0: string, args: readonly string[]) =>
  ({ executable: args[0] === 'serve' ? ${JSON.stringify(plugin)} : ${JSON.stringify(EXECUTABLE)}, args, argv0 })
process.exit(await lab({
  words: ['run', ${JSON.stringify(scenario)}],
  env: process.env,
  self: (args) => command('dummy-fuse-csi', args),
  other: command,
}))`,
    )
    const { status, stdout, stderr } = await sandbox.run(process.execPath, [script], { timeout: 60_000 })
    return { status, output: stdout + stderr }
  }

  const MUTANTS: { name: string; flags: string; scenario: string; fails: RegExp[]; passes?: RegExp }[] = [
    {
      name: 'whose plugin does not restore',
      flags: '--no-restore-mounts',
      scenario: 'restore-mounts',
      fails: [/^✗ the staging path works again on the node$/m, /^✗ slave-folder-pod, after the restore: reads$/m],
      passes: /^✓ private-pod, after the restore: cannot read: /m,
    },
    {
      name: 'whose plugin does not restore, and whose workload is never restarted',
      flags: '--no-restore-mounts',
      scenario: 'restore-mounts-exit-on-error',
      fails: [/^✗ the restart succeeds$/m],
      passes: /^✓ the restart fails while the mount is dead: /m,
    },
    {
      name: 'whose plugin restores though it must not',
      flags: '--restore-mounts',
      scenario: 'plugin-restart',
      fails: [/^✗ the staging path is dead on the node$/m],
    },
    {
      name: 'whose daemon outlives the plugin, so that nothing dies',
      flags: '--fuse-host detached',
      scenario: 'plugin-restart',
      fails: [/^✗ its FUSE daemon died with it, as in one container$/m, /^✗ dummy-fuse-pod, after the kill: cannot read$/m],
    },
  ]
  for (const { name, flags, scenario, fails, passes } of MUTANTS) {
    it(`makes the lab fail: one ${name}`, async () => {
      const { status, output } = await labWith(flags, scenario)
      assert.equal(status, 1, output)
      for (const line of fails) assert.match(output, line)
      if (passes !== undefined) assert.match(output, passes)
      assert.match(output, new RegExp(`^${scenario} .* not as expected$`, 'm'))
    })
  }
})
