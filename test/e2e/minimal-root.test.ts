import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MinimalRoot } from '../support/minimal-root.ts'
import { Sandbox } from '../support/sandbox.ts'

interface Run {
  /** For bash, inside the root. */
  readonly script: string
  readonly stdout: RegExp | string
}

/** Waits, for at most ten seconds, until a command succeeds. */
const UNTIL = 'until_() { for _ in $(seq 500); do "$@" && return; sleep 0.02; done; echo "never: $*"; return 1; }; '
const MOUNTED = `${UNTIL}mkdir -p /run/mnt && dummy-fuse /run/mnt && `

/** What runs in a root that has nothing: a row for each program. */
const PROGRAMS: Readonly<Record<string, Run>> = {
  'dummy-fuse': { script: `${MOUNTED} cat /run/mnt/dummy-file.txt && umount /run/mnt`, stdout: 'Hello world!\n' },
  'dummy-fuse -f': {
    script: `${UNTIL}mkdir /run/mnt; dummy-fuse -f /run/mnt & until_ test -e /run/mnt/dummy-file.txt && kill $! && wait $!; echo $?`,
    stdout: '0\n',
  },
  'dummy-fuse-workload': {
    script: `${MOUNTED} dummy-fuse-workload --keep-open --read-interval 0.05 --file /run/mnt/dummy-file.txt > /run/log 2>&1 &
until_ grep -qs reading /run/log; kill $!; cut -d' ' -f3- /run/log | head -2`,
    stdout: 'opened file /run/mnt/dummy-file.txt\nreading\n',
  },
  'dummy-fuse-workload as nobody': {
    script: `mkdir -p /run/mnt && dummy-fuse -o allow_other /run/mnt && umask 0 && cd / && ${UNTIL}
setpriv --reuid=65534 --regid=65534 --clear-groups dummy-fuse-workload --file /run/mnt/dummy-file.txt > /run/log 2>&1 &
until_ grep -qs reading /run/log; kill $!; cut -d' ' -f3- /run/log | head -2`,
    stdout: 'opened file /run/mnt/dummy-file.txt\nreading\n',
  },
  'dummy-fuse-csi --version': { script: 'dummy-fuse-csi --version', stdout: /^dummy-fuse-csi \d/ },
}

/** Prints all files in the folders that can be written, but for what umount(8) itself makes. */
const LEFT = 'find /run /tmp /var/lib /dev/shm -mindepth 1 -not -path "/run/mount*"'

describe('in a root without node, npm, libfuse, fusermount and HOME, read-only, /run, /tmp and /dev/shm noexec', () => {
  it('there is none of them', async () => {
    await using sandbox = new Sandbox()
    const root = new MinimalRoot(sandbox)
    await root.prepare()
    const script = `for p in node npm npx fusermount fusermount3 dummy-fuse; do type -P $p; done
find /usr/lib /usr/local -name 'libfuse*' -o -name 'node*' -type f -perm -1; ls -A /root 2>&1; echo "home: \${HOME-none}"
for d in / /usr /run /tmp /var/lib /dev/shm; do touch $d/.probe 2>/dev/null && echo "writable: $d"; done
for d in /run /tmp /var/lib /dev/shm; do cp /bin/true $d/.program && $d/.program 2>/dev/null && echo "executable: $d"; done`
    const { stdout } = await root.run(script)
    const expected = [
      '/usr/local/bin/dummy-fuse',
      "ls: cannot access '/root': No such file or directory",
      'home: none',
      ...['/run', '/tmp', '/var/lib', '/dev/shm'].map((folder) => `writable: ${folder}`),
      'executable: /var/lib',
    ]
    assert.equal(stdout, `${expected.join('\n')}\n`)
  })

  for (const [program, { script, stdout }] of Object.entries(PROGRAMS)) {
    it(`${program} runs, and leaves no file behind`, async () => {
      await using sandbox = new Sandbox()
      const root = new MinimalRoot(sandbox)
      await root.prepare()
      const result = await root.run(
        `${script}\numount -l /run/mnt 2>/dev/null; rm -f /run/log; rmdir /run/mnt 2>/dev/null; ${LEFT} >&2`,
      )
      if (typeof stdout === 'string') assert.equal(result.stdout, stdout, result.stderr)
      else assert.match(result.stdout, stdout, result.stderr)
      assert.equal(result.stderr, '')
    })
  }

  it('without /proc each program says its version and its options, and what needs /proc says so', async () => {
    await using sandbox = new Sandbox()
    const root = new MinimalRoot(sandbox)
    await root.prepare()
    const script = `umount proc 2>/dev/null || umount -l /proc
for program in serve fuse fused keep standby workload lab status; do for word in --version --help; do
  said=$(dummy-fuse-csi $program $word 2>&1) || echo "$program $word: exit status $?"
  case $word in --version) [[ $said =~ ^[a-z\\ -]+\\ [0-9] ]] ;; --help) [[ $said == Usage:* ]] ;; esac || echo "$program $word: $said"
done; done
mkdir /run/mnt; dummy-fuse /run/mnt; echo $?; dummy-fuse -f /run/mnt; echo $?; dummy-fuse-csi fused; echo $?`
    const { stdout, stderr } = await root.run(script, 240_000)
    assert.equal(stdout, '1\n1\n1\n', stderr)
    assert.match(stderr, /^(dummy-fused?: \/proc is not mounted; mount it \(mount -t proc proc \/proc\)\n){3}$/)
  })

  it('fifty dummy-fuse started at the same moment all serve, and leave no file behind', async () => {
    await using sandbox = new Sandbox()
    const root = new MinimalRoot(sandbox)
    await root.prepare()
    const script = `mkdir -p /run/{1..50}
for i in {1..50}; do dummy-fuse --init-timeout 120 /run/$i & done
for job in $(jobs -p); do wait $job || echo "exit status $?"; done
cat /run/*/dummy-file.txt | sort | uniq -c | sed 's/^ *//'
${LEFT} -name '.*'
umount /run/{1..50}; rmdir /run/{1..50}; ${LEFT}`
    const { stdout, stderr } = await root.run(script, 240_000)
    assert.equal(stdout, '50 Hello world!\n', stderr)
  })

  it('a dummy-fuse that is killed at any moment of its start leaves no file behind', async () => {
    await using sandbox = new Sandbox()
    const root = new MinimalRoot(sandbox)
    await root.prepare()
    const script = `mkdir /run/mnt
for ms in {20..120..10}; do
  dummy-fuse -f /run/mnt & sleep 0.$(printf %03d $ms); kill -9 $!; wait $! 2>/dev/null; umount -l /run/mnt 2>/dev/null
done
rmdir /run/mnt; ${LEFT}; echo done`
    const { stdout, stderr } = await root.run(script)
    assert.equal(stdout, 'done\n', stderr)
  })

  it('nothing that is loaded has a name in the file system that another user could give to something else', async () => {
    await using sandbox = new Sandbox()
    const root = new MinimalRoot(sandbox)
    await root.prepare()
    const script = `${MOUNTED} pid=$(pgrep -x dummy-fuse) && grep -E ' r-xp ' /proc/$pid/maps | awk '{print $6, $7}' | grep -v -E '^( |\\[|/usr/lib/|/lib/|/usr/local/bin/dummy-fuse-csi $)' | sort -u | sed 's/#[0-9]*/#N/'`
    const { stdout, stderr } = await root.run(script)
    assert.match(stdout, /^(\S*\/#N \(deleted\)\n)+$/, stderr)
  })

  it('where no folder allows execution it says which were tried and what to do', async () => {
    await using sandbox = new Sandbox()
    const root = new MinimalRoot(sandbox)
    await root.prepare()
    const { stdout, stderr } = await root.run('mount -o remount,noexec /var/lib; mkdir /run/mnt; dummy-fuse /run/mnt; echo $?')
    assert.match(stdout, /^1\n$/)
    assert.match(stderr, /^dummy-fuse: [^\n]*set TMPDIR to a writable directory[^\n]*\/var\/lib: [^\n]*\n$/)
  })
})
