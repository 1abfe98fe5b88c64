import assert from 'node:assert/strict'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { executedPath } from '../../src/os/processes/executed-path.ts'
import { userOf } from '../../src/os/processes/users.ts'
import { MountinfoTable } from '../../src/os/mounts/mount-table.ts'
import { directoriesIn } from '../../src/programs/shielded/directories.ts'
import { habitsOf } from '../../src/programs/shielded/habits.ts'
import { shieldedNameOf } from '../../src/programs/shielded/name.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('what stands in the place of a FUSE program', () => {
  /** A call: whether it mounts, whether it stays in the foreground, and how it does. */
  const CALLS: Readonly<Record<string, readonly [mounts: boolean, stays: boolean, staying: string]>> = {
    'sshfs nas:/photos /mnt -o ro': [true, false, '-f nas:/photos /mnt -o ro'],
    'sshfs -f nas:/photos /mnt': [true, true, '-f -f nas:/photos /mnt'],
    'bindfs -d /a /b': [true, true, '-f -d /a /b'],
    'gocryptfs -passfile p /c /d': [true, false, '-fg -passfile p /c /d'],
    'gocryptfs --fg /c /d': [true, true, '-fg --fg /c /d'],
    'gocryptfs -init /c': [false, false, '-fg -init /c'],
    'rclone mount s3:a /mnt --daemon': [true, false, 'mount s3:a /mnt'],
    'rclone --config f mount2 s3:a /mnt': [true, true, '--config f mount2 s3:a /mnt'],
    'rclone copy /a /b': [false, true, 'copy /a /b'],
  }
  for (const [call, expected] of Object.entries(CALLS))
    it(`knows how to call ${call}`, () => {
      const [name = '', ...words] = call.split(' ')
      const { mounts, stays, staying } = habitsOf(name, {})
      assert.deepEqual([mounts(words), stays(words), staying(words).join(' ')], expected)
    })

  it('is told how a program stays in the foreground that it does not know', () => {
    const told = (text: string): ReturnType<typeof habitsOf> => habitsOf('another', { DUMMY_FUSE_SHIELD_FOREGROUND: text })
    assert.deepEqual(told(' --foreground  -x ').staying(['/mnt']), ['--foreground', '-x', '/mnt'])
    assert.equal(told('--foreground -x').stays(['-x', '/mnt']), false)
    assert.equal(told('').stays(['/mnt']), true)
    assert.throws(() => habitsOf('toString', {}), /nothing tells how toString stays in the foreground/)
  })

  it('is known by the name of a link on the way to the executable', async () => {
    await using sandbox = new Sandbox()
    const [file, named, link] = ['dummy-fuse-csi', 'dummy-fuse-csi-shielded-sshfs', 'sshfs'].map((name) =>
      join(sandbox.path, name),
    ) as [string, string, string]
    writeFileSync(file, '')
    symlinkSync('dummy-fuse-csi', named)
    symlinkSync(sandbox.path, join(sandbox.path, 'folder'))
    symlinkSync('folder/dummy-fuse-csi-shielded-sshfs', link)
    const names = [link, named, file, join(sandbox.path, 'folder', 'sshfs')].map(shieldedNameOf)
    assert.deepEqual(names, ['sshfs', 'sshfs', undefined, 'sshfs'])
  })

  it('takes for a mount point what names a directory', async () => {
    await using sandbox = new Sandbox()
    const [a, b] = [sandbox.directory('a'), sandbox.directory('b')]
    symlinkSync(b, join(sandbox.path, 'link'))
    writeFileSync(join(sandbox.path, 'file'), '')
    const words = [
      '',
      'nas:/photos',
      '-o',
      a,
      `--cache=${a}`,
      join(sandbox.path, 'file'),
      `${a}/`,
      join(sandbox.path, 'link'),
      'x'.repeat(300),
    ]
    assert.deepEqual(await directoriesIn(words, MountinfoTable.current()), [
      { index: 6, given: a, path: a },
      { index: 7, given: join(sandbox.path, 'link'), path: b },
    ])
  })
})

describe('executedPath', () => {
  it('is the path that execve(2) was given, with its symbolic links', async () => {
    await using sandbox = new Sandbox()
    const link = join(sandbox.path, 'link')
    symlinkSync(process.execPath, link)
    const module = join(import.meta.dirname, '../../src/os/processes/executed-path.ts')
    const code = `import('${module}').then(({ executedPath }) => process.stdout.write(executedPath()))`
    const { stdout } = await sandbox.run(link, ['-e', code], { cwd: sandbox.path })
    assert.equal(stdout, link)
    assert.ok(executedPath() !== undefined)
  })
})

describe('userOf', () => {
  it('knows the users of /etc/passwd, and ids', () => {
    const [name = '', , uid, gid] = readFileSync('/etc/passwd', 'utf8').split('\n')[0]?.split(':') ?? []
    assert.deepEqual(userOf(name), { uid: Number(uid), gid: Number(gid) })
    assert.deepEqual(userOf('65534:7'), { uid: 65534, gid: 7 })
    for (const wrong of ['', 'no-such-user', '7', '7:', '4294967295:0']) assert.equal(userOf(wrong), undefined)
  })
})
