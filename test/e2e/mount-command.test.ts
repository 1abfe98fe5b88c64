import assert from 'node:assert/strict'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type Helper, withHelper } from '../support/mount-helpers.ts'
import { mountLine } from '../support/mounting.ts'
import { DUMMY_FUSE, EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const BOTH: readonly Helper[] = ['mount.fuse3', 'mount.fuse.dummy-fuse']

/** Prints what the mount table has of the mount point, and reads the file there. */
const SHOW = `grep -F " $M " /proc/self/mounts | sed "s# $M # #"; cat "$M/dummy-file.txt"`

const ALL =
  'rw,nodev,nosuid,noexec,nodiratime,strictatime,sync,dirsync,lazytime,nosymfollow,_netdev,nofail,user,users,noauto,x-systemd.automount,comment=a'

/** What follows `mount` for each, and the line of the mount table behind the mount point. */
const MOUNTS: readonly (readonly [args: string, line: string])[] = [
  ['-t fuse.dummy-fuse none "$M"', 'none fuse.dummy-fuse rw,relatime,user_id=0,group_id=0 0 0'],
  ['-n -v -s -t fuse.dummy-fuse none "$M" >&2', 'none fuse.dummy-fuse rw,relatime,user_id=0,group_id=0 0 0'],
  ['-r -t fuse.dummy-fuse none "$M"', 'none fuse.dummy-fuse ro,relatime,user_id=0,group_id=0 0 0'],
  ['-t fuse.dummy-fuse -o nodev,nosuid,fsname=x none "$M"', 'x fuse.dummy-fuse rw,nosuid,nodev,relatime,user_id=0,group_id=0 0 0'],
  ['-t fuse.dummy-fuse "host:/a b" "$M"', 'host:/a\\040b fuse.dummy-fuse rw,relatime,user_id=0,group_id=0 0 0'],
  ['-t fuse dummy-fuse#source "$M"', 'source fuse.dummy-fuse rw,relatime,user_id=0,group_id=0 0 0'],
  ['-t fuse dummy-fuse "$M"', 'dummy-fuse fuse.dummy-fuse rw,relatime,user_id=0,group_id=0 0 0'],
  [
    `-t fuse.dummy-fuse -o ${ALL} none "$M"`,
    'none fuse.dummy-fuse rw,sync,dirsync,lazytime,nosuid,nodev,noexec,nodiratime,nosymfollow,user_id=0,group_id=0 0 0',
  ],
]

describe('mount(8)', () => {
  for (const helper of BOTH) {
    it(`mounts by ${helper} what it is given`, async () => {
      await using sandbox = new Sandbox()
      const steps = MOUNTS.map(([args]) => `mount ${args}; ${SHOW}; umount "$M"`)
      const { status, stdout, stderr } = await withHelper(sandbox, helper, `set -e\n${steps.join('\n')}`)
      assert.equal(status, 0, stderr)
      assert.deepEqual(
        stdout.split('\n').filter(Boolean),
        MOUNTS.flatMap(([, line]) => [line, 'Hello world!']),
      )
    })

    it(`mounts by ${helper} each line of /etc/fstab once, whatever its fifth and sixth field`, async () => {
      await using sandbox = new Sandbox()
      const script = `set -e
        mkdir "$W"/{a,b,c,d}
        cat >"$W/fstab" <<END
none $W/a fuse.dummy-fuse defaults,noatime,_netdev,nofail 0 0
none $W/b fuse.dummy-fuse rw,user,nodiratime,x-systemd.requires=/x,comment=c,allow_other 1 2
other $W/c fuse.dummy-fuse ro,strictatime
none $W/d fuse.dummy-fuse noauto
END
        mount -a -T "$W/fstab"
        mount -a -T "$W/fstab"
        mount -T "$W/fstab" "$W/d"
        grep -F "$W/" /proc/self/mounts | grep -F fuse.dummy-fuse | sed "s#$W/##"`
      const { status, stdout, stderr } = await withHelper(sandbox, helper, script)
      assert.equal(status, 0, stderr)
      assert.deepEqual(stdout.split('\n').filter(Boolean), [
        'none a fuse.dummy-fuse rw,noatime,user_id=0,group_id=0 0 0',
        'none b fuse.dummy-fuse rw,nosuid,nodev,noexec,nodiratime,relatime,user_id=0,group_id=0,allow_other 0 0',
        'other c fuse.dummy-fuse ro,user_id=0,group_id=0 0 0',
        'none d fuse.dummy-fuse rw,relatime,user_id=0,group_id=0 0 0',
      ])
    })

    it(`says by ${helper} why it does not mount, and mounts nothing`, async () => {
      await using sandbox = new Sandbox()
      const script = `
        touch "$M/file"; mount -t fuse.dummy-fuse none "$M"; echo "status $?"; rm "$M/file"
        mount -t fuse.dummy-fuse -o sparkle none "$M"; echo "status $?"
        mount -t fuse.dummy-fuse none "$M"; mount -o remount,ro "$M"; echo "status $?"
        mount -i -o remount,ro "$M"; echo "status $?"; mount | grep -c " on $M .*(ro"; umount "$M"
        grep -c -F "$M" /proc/self/mounts; true`
      const { stdout, stderr } = await withHelper(sandbox, helper, script)
      assert.deepEqual(stdout.split('\n').filter(Boolean), ['status 5', 'status 2', 'status 2', 'status 0', '1', '0'], stderr)
      assert.match(stderr, /^dummy-fuse: .*: not empty; /m)
      assert.match(stderr, /^dummy-fuse: unknown mount option 'sparkle'/m)
      assert.match(stderr, /^dummy-fuse: mount option 'remount' .*mount -i -o remount/m)
    })
  }

  it('mounts nothing with --fake', async () => {
    await using sandbox = new Sandbox()
    const script = `mount --fake -t fuse.dummy-fuse none "$M" && grep -c -F "$M" /proc/self/mounts`
    const { stdout, stderr } = await withHelper(sandbox, 'mount.fuse.dummy-fuse', script)
    assert.deepEqual([stdout, stderr], ['0\n', ''])
  })
})

describe('the helper mount.fuse.dummy-fuse', () => {
  for (const [name, args] of [
    ['mount.fuse.dummy-fuse', ['-o', 'rw', '0', '0']],
    ['mount.fuse3.dummy-fuse', ['-sn', '-v', '-o', 'ro', '-w', '-t', 'fuse.dummy-fuse']],
    ['mount.dummy-fuse', ['-t', 'dummy-fuse']],
  ] as const) {
    it(`is called ${name} too: ${args.join(' ')}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const link = join(sandbox.path, name)
      symlinkSync(EXECUTABLE, link)
      const { status, stderr } = await sandbox.run(link, ['none', path, ...args])
      assert.deepEqual([status, stderr], [0, ''])
      assert.equal(await mountLine(sandbox, path), `none on ${path} type fuse.dummy-fuse (rw,relatime,user_id=0,group_id=0)`)
      assert.equal(sandbox.processes('dummy-fuse').length, 1)
    })
  }

  for (const [args, said] of [
    [[], /mount\(8\) calls it as mount\.fuse\.dummy-fuse SOURCE DIRECTORY/],
    [['none'], /SOURCE DIRECTORY/],
    [['none', '-o', 'ro'], /SOURCE DIRECTORY/],
    [['none', '/mnt', '-o'], /-o needs a value/],
    [['none', '/mnt', '-x'], /unknown argument '-x'/],
    [['none', '/mnt', '-t', 'ext4'], /-t ext4 is not fuse\.dummy-fuse/],
    [['none', '/mnt', '-N', '/proc/1/ns/mnt'], /-N .* is not obeyed; run nsenter/],
    [['x'.repeat(256), '/mnt'], /'fsname' needs a value/],
    [['none', ''], /the mount point is empty/],
  ] as const) {
    it(`ends with 2 and one line: ${args.join(' ').slice(0, 40)}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await sandbox.run(EXECUTABLE, ['mount-helper', ...args])
      assert.equal(status, 2, stderr)
      assert.match(stderr, /^dummy-fuse: [^\n]+\n$/)
      assert.match(stderr, said)
    })
  }
})

describe('dummy-fuse with a source', () => {
  for (const args of [['none'], ['-o', 'ro,rw', 'none']] as const) {
    it(`shows it in the mount table: ${args.join(' ')}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const { status, stderr } = await sandbox.run(DUMMY_FUSE, [...args, path, '0', '2'])
      assert.deepEqual([status, stderr], [0, ''])
      assert.match(await mountLine(sandbox, path), /^none on /)
    })
  }

  it('escapes it, and lets fsname= win', async () => {
    await using sandbox = new Sandbox()
    const [one, two] = [sandbox.directory('one'), sandbox.directory('two')]
    assert.equal((await sandbox.run(DUMMY_FUSE, ['a,b\\c', one])).status, 0)
    assert.equal((await sandbox.run(DUMMY_FUSE, ['a,b\\c', two, '-o', 'fsname=d'])).status, 0)
    assert.ok((await mountLine(sandbox, one)).startsWith('a,b\\c on '))
    assert.ok((await mountLine(sandbox, two)).startsWith('d on '))
  })
})
