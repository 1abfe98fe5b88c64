import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { describe, it } from 'node:test'
import { mountDummyFuse, mountLine } from '../support/mounting.ts'
import { DUMMY_FUSE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups', '--']

/** What mount(8) prints after ` on PATH type `, by the words of the command line. */
const LINES: Readonly<Record<string, readonly [args: readonly string[], line: string]>> = {
  'no options': [[], 'fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0)'],
  '-o allow_other': [['-o', 'allow_other'], 'fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0,allow_other)'],
  '-oallow_other, attached': [['-oallow_other'], 'fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0,allow_other)'],
  'options split by commas, empty ones skipped': [
    ['-o', ',ro,,noexec,allow_other,'],
    'fuse.dummy-fuse (ro,nosuid,nodev,noexec,relatime,user_id=0,group_id=0,allow_other)',
  ],
  'several -o': [
    ['-o', 'ro', '-s', '-o', 'allow_other'],
    'fuse.dummy-fuse (ro,nosuid,nodev,relatime,user_id=0,group_id=0,allow_other)',
  ],
  'a subtype': [['-o', 'subtype=other'], 'fuse.other (rw,nosuid,nodev,relatime,user_id=0,group_id=0)'],
  'noatime and sync': [['-o', 'noatime,sync'], 'fuse.dummy-fuse (rw,nosuid,nodev,noatime,sync,user_id=0,group_id=0)'],
  "mount(8)'s own options": [['-o', 'defaults,_netdev,nofail'], 'fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0)'],
  max_read: [['-o', 'max_read=65536'], 'fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0,max_read=65536)'],
  default_permissions: [
    ['-o', 'default_permissions'],
    'fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions)',
  ],
}

describe('the mount line of dummy-fuse', () => {
  for (const [title, [args, line]] of Object.entries(LINES)) {
    it(`is the original's to the letter: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const path = await mountDummyFuse(sandbox, args)
      assert.equal(await mountLine(sandbox, path), `dummy-fuse on ${path} type ${line}`)
    })
  }

  it('names the source that fsname gives, with a comma that is escaped', async () => {
    await using sandbox = new Sandbox()
    const path = await mountDummyFuse(sandbox, ['-o', 'fsname=a\\,b c'])
    assert.equal(
      await mountLine(sandbox, path),
      `a,b c on ${path} type fuse.dummy-fuse (rw,nosuid,nodev,relatime,user_id=0,group_id=0)`,
    )
  })

  it('takes options behind the mount point too', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    const { status } = await sandbox.run(DUMMY_FUSE, [path, '-s', '-o', 'allow_other'])
    assert.equal(status, 0)
    assert.match(await mountLine(sandbox, path), /allow_other\)$/)
  })
})

describe('consumers that are not root', () => {
  it('get EACCES without allow_other', async () => {
    await using sandbox = new Sandbox()
    chmodSync(sandbox.path, 0o755)
    const path = await mountDummyFuse(sandbox)
    const { status, stderr } = await sandbox.run('setpriv', [...NOBODY, 'cat', `${path}/dummy-file.txt`])
    assert.notEqual(status, 0)
    assert.match(stderr, /Permission denied/)
  })

  for (const option of ['allow_other', 'allow_other,default_permissions']) {
    it(`read and list with ${option}`, async () => {
      await using sandbox = new Sandbox()
      chmodSync(sandbox.path, 0o755)
      const path = await mountDummyFuse(sandbox, ['-o', option])
      const { stdout } = await sandbox.run('setpriv', [...NOBODY, 'sh', '-c', 'id -u; ls "$0"; cat "$0/dummy-file.txt"', path])
      assert.equal(stdout, '65534\ndummy-file.txt\nHello world!\n')
    })
  }
})

/** Words that are wrong, and what the line must say. All exit with 2. */
const WRONG: Readonly<Record<string, readonly [args: readonly string[], said: RegExp]>> = {
  'an unknown mount option': [['-o', 'allow_othr'], /unknown mount option 'allow_othr'; known are .*allow_other/],
  'an unknown one among known ones': [['-o', 'ro,x=1,allow_other'], /unknown mount option 'x'/],
  'a name that every object has': [['-o', 'constructor'], /unknown mount option 'constructor'/],
  auto_unmount: [['-o', 'auto_unmount'], /fusermount/],
  'an option without its value': [['-o', 'fsname'], /'fsname' needs a value/],
  'an empty value': [['-o', 'fsname='], /'fsname' needs a value/],
  'a value where none belongs': [['-o', 'allow_other=yes'], /'allow_other' takes no value/],
  'a number that is none': [['-o', 'max_read=many'], /'max_read' needs a value/],
  'a time that is none': [['-o', 'attr_timeout=-1'], /'attr_timeout' needs a value/],
  'an umask that is not octal': [['-o', 'umask=888'], /'umask' needs a value/],
  'a uid of more than 32 bits': [['-o', 'uid=4294967296'], /'uid' needs a value/],
  'an unknown option': [['--frobnicate'], /unknown option '--frobnicate'; there are .*--init-timeout/],
  'an unknown letter': [['-x'], /unknown option '-x'/],
  'an unknown fault': [['--inject', 'explode'], /unknown fault 'explode'.*mount-delay=S, mount-fail, read-delay=S, init-hang/],
  'a fault without its seconds': [['--inject', 'read-delay'], /fault 'read-delay'/],
  'a fault with a value of too many seconds': [['--inject', 'read-delay=99999999'], /fault 'read-delay=99999999'/],
  'an init timeout of nothing': [['--init-timeout', '0'], /--init-timeout/],
  'an init timeout that is no number': [['--init-timeout', 'soon'], /--init-timeout/],
  'an unknown way to daemonize': [['--daemonize', 'never'], /wait, early/],
  'an unknown backend': [['--backend', 'nfs'], /fuse-native/],
  'three mount points': [['/somewhere/else', '/nowhere'], /too many arguments/],
}

describe('wrong words', () => {
  for (const [title, [args, said]] of Object.entries(WRONG)) {
    it(`exit with 2 and one line: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const path = sandbox.directory('mnt')
      const { status, stderr, stdout } = await sandbox.run(DUMMY_FUSE, [...args, path])
      assert.equal(status, 2, stderr)
      assert.match(stderr, /^dummy-fuse: [^\n]+\n$/)
      assert.match(stderr, said)
      assert.equal(stdout, '')
      assert.deepEqual(sandbox.mounts(), [])
    })
  }

  for (const [title, args] of Object.entries({
    'no mount point': [],
    'an empty one': [''],
    'options alone': ['-f', '-o', 'ro'],
  })) {
    it(`exit with 2 and one line: ${title}`, async () => {
      await using sandbox = new Sandbox()
      const { status, stderr } = await sandbox.run(DUMMY_FUSE, args)
      assert.equal(status, 2)
      assert.match(stderr, /^dummy-fuse: [^\n]*mount ?point[^\n]*\n$/)
    })
  }
})
