import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { DIST, WORKLOAD } from '../support/paths.ts'
import { type Result, Sandbox } from '../support/sandbox.ts'
import { serves } from '../support/mounts.ts'
import { eventually } from '../support/wait.ts'

/** Runs a shell line with an empty folder `m\xff` and DIST as `$dist`, in the sandbox's folder; files of that name are what Node cannot name. */
async function shell(sandbox: Sandbox, line: string): Promise<Result> {
  const script = `m=$(printf 'm\\377'); mkdir -p "$m"; ${line}`
  return await sandbox.run('bash', ['-c', script], { cwd: sandbox.path, env: { ...process.env, dist: DIST }, timeout: 60_000 })
}

function namesIn(sandbox: Sandbox): readonly string[] {
  return readdirSync(sandbox.path, { encoding: 'buffer' }).map((name) => name.toString('latin1'))
}

const LINES: Readonly<Record<string, string>> = {
  'dummy-fuse, its mount point': '$dist/dummy-fuse "$PWD/$m"',
  'dummy-fuse -f, its mount point': '$dist/dummy-fuse -f "$PWD/$m"',
  'dummy-fuse, its log file': 'mkdir mnt; $dist/dummy-fuse --log-file "$m/log" mnt',
  'dummy-fuse, a mount point in the working directory': 'mkdir "$m/mnt"; cd "$m"; $dist/dummy-fuse mnt',
  'dummy-fuse, a link to its mount point': 'ln -s "$m" link; $dist/dummy-fuse "$PWD/link"',
  'serve, its state folder': '$dist/dummy-fuse-csi serve --endpoint $PWD/s --state-dir "$PWD/$m/state"',
  'serve, its socket': '$dist/dummy-fuse-csi serve --endpoint "unix://$PWD/$m/s" --state-dir $PWD/state',
  'serve, $STATE_DIRECTORY': 'STATE_DIRECTORY="$PWD/$m" $dist/dummy-fuse-csi serve --endpoint $PWD/s',
  'serve, $CSI_ENDPOINT': 'CSI_ENDPOINT="unix://$PWD/$m/s" $dist/dummy-fuse-csi serve --state-dir $PWD/state',
  'serve, the working directory': 'cd "$m"; $dist/dummy-fuse-csi serve --endpoint /tmp/s --state-dir state',
  'dummy-fused, its state folder': '$dist/dummy-fused --socket $PWD/s --state-dir "$PWD/$m/state"',
  'dummy-fused, the working directory': 'cd "$m"; $dist/dummy-fused --socket /tmp/s --state-dir state',
  'standby, its state folder': '$dist/dummy-fuse-csi standby --state-dir "$PWD/$m"',
  'status, its state folder': '$dist/dummy-fuse-csi status --state-dir "$PWD/$m"',
  'keep, its program': '$dist/dummy-fuse-csi keep -- "$PWD/$m/program"',
  'the workload, its file': '$dist/dummy-fuse-workload --file "$PWD/$m/file"',
  'the lab, its report': '$dist/dummy-fuse-csi lab run --json "$PWD/$m/record.json"',
}

describe('a path that is not UTF-8', () => {
  for (const [what, line] of Object.entries(LINES)) {
    it(`is refused by ${what}, in one line, and no other folder is made`, async () => {
      await using sandbox = new Sandbox()
      const { status, stdout, stderr } = await shell(sandbox, line)
      assert.ok(what.includes('a link') ? status === 3 : status === 2, `status ${status ?? ''}: ${stdout}${stderr}`)
      assert.match(stderr, /^[^\n]*not UTF-8[^\n]*\n$/)
      assert.deepEqual(
        namesIn(sandbox).filter((name) => !['m\xff', 'mnt', 'link'].includes(name)),
        [],
      )
      assert.deepEqual(
        readdirSync(Buffer.from(`${sandbox.path}/m\xff`, 'latin1')).filter((name) => name !== 'mnt'),
        [],
      )
      assert.deepEqual(sandbox.mounts(), [])
    })
  }

  it('is no hindrance where it is only the working directory, or a variable that is not ours', async () => {
    await using sandbox = new Sandbox()
    const mountpoint = sandbox.directory('mnt')
    const { status, stderr } = await shell(sandbox, `cd "$m"; OTHER="$m" $dist/dummy-fuse ${mountpoint}`)
    assert.equal(status, 0, stderr)
    assert.ok(await serves(sandbox, mountpoint))
  })

  it('works by a symbolic link as far as the kernel follows it: what is read there is the file', async () => {
    await using sandbox = new Sandbox()
    const { status, stderr } = await shell(sandbox, 'echo found > "$m/file"; ln -s "$m" link')
    assert.equal(status, 0, stderr)
    const file = join(sandbox.path, 'link/file')
    const workload = sandbox.start(WORKLOAD, ['--read-interval', '1', '--file', file])
    await eventually('it opens the file', () => workload.output().includes(`opened file ${file}`))
  })
})
