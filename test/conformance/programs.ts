import { createHash } from 'node:crypto'
import { HELLO } from './case.ts'

/** What a shell prints and exits with; it has the mount point in $m, its file in $f, and an empty working directory. */
export interface ShellCase {
  readonly script: string
  /** Standard output, and standard error behind it. */
  readonly prints: string
  readonly status?: number
}

const SHA256 = createHash('sha256').update(HELLO).digest('hex')

/** Ways to call dd(1), and what of the file it writes. */
const DD: Readonly<Record<string, string>> = {
  'bs=1': HELLO,
  'bs=5': HELLO,
  'bs=13': HELLO,
  'bs=4K': HELLO,
  'bs=1M': HELLO,
  'iflag=direct bs=512': HELLO,
  'iflag=direct,fullblock bs=4K': HELLO,
  'iflag=direct bs=1 skip=6': 'world!\n',
  'iflag=skip_bytes skip=6': 'world!\n',
  'iflag=count_bytes,skip_bytes skip=3 count=4 bs=1M': 'lo w',
  'bs=6 skip=1 count=1': 'world!',
  'bs=7 skip=1': 'orld!\n',
  'bs=6 skip=9': '',
  'iflag=nocache bs=1M': HELLO,
  'iflag=sync bs=3': HELLO,
  'iflag=nonblock,noatime,nofollow': HELLO,
  'ibs=2 obs=7 conv=ucase': HELLO.toUpperCase(),
}

/** What people look with, by title. */
export const LOOKING: Readonly<Record<string, ShellCase>> = {
  'ls -l shows what the original shows': {
    script: 'ls -l "$m"',
    prints: 'total 0\n-r--r--r-- 1 root root 13 Jan  1  1970 dummy-file.txt\n',
  },
  'ls -lai shows the root among the other directories': {
    script: `ls -lai "$m" | sed '1d; / \\.\\.$/d; s/^ *//; s/  */ /g'`,
    prints: '1 drwxr-xr-x 2 root root 0 Jan 1 1970 .\n2 -r--r--r-- 1 root root 13 Jan 1 1970 dummy-file.txt\n',
  },
  'find walks the tree and knows name, type, size, times, links, permissions and inode': {
    script: `cd "$m" && find . -printf '%y %m %s %n %U:%G %T@ %i %p\\n'
find . -type f -name '*.txt' -size 13c -perm 444 -links 1 -inum 2 ! -newermt 1970-01-02 -newermt 1969-12-31 -exec cat {} +`,
    prints: `d 755 0 2 0:0 0.0000000000 1 .\nf 444 13 1 0:0 0.0000000000 2 ./dummy-file.txt\n${HELLO}`,
  },
  'stat tells all there is': {
    script: `stat -c '%A %h %U %G %s %b %B %o %i %F %X %Y %Z %W' "$m" "$f"`,
    prints:
      'drwxr-xr-x 2 root root 0 0 512 4096 1 directory 0 0 0 0\n-r--r--r-- 1 root root 13 0 512 4096 2 regular file 0 0 0 0\n',
  },
  "stat -f tells FUSE's magic number, a block that is used and two inodes": {
    script: `stat -f -c '%t %l %s %S %b %f %a %c %d' "$m" "$f"`,
    prints: '65735546 255 4096 4096 1 0 0 2 0\n'.repeat(2),
  },
  'df shows it, full, also by its file': {
    script: `df -B4096 --output=source,fstype,size,used,avail,pcent,itotal,iused,iavail "$f" | sed '1d; s/  */ /g'; df --output=target "$f" | sed "1d; s|^$m\\$|the mount point|"`,
    prints: 'dummy-fuse fuse.dummy-fuse 1 1 0 100% 2 2 0\nthe mount point\n',
  },
  'du counts no blocks and 13 bytes': {
    script: 'cd "$m" && du -a . && du -b .',
    prints: '0\t./dummy-file.txt\n0\t.\n13\t.\n',
  },
  'getfattr finds no attributes, by list and by name, and says that they are not supported': {
    script: 'cd "$m" && getfattr -d -m - dummy-file.txt; getfattr -n user.a dummy-file.txt; getfattr -n security.selinux .',
    prints:
      'getfattr: dummy-file.txt: Operation not supported\ndummy-file.txt: user.a: Operation not supported\n.: security.selinux: Operation not supported\n',
    status: 1,
  },
  'test(1) finds the file there, readable, not empty, not writable and not executable': {
    script: 'for is in e f r s w x d L O; do test -$is "$f" && printf "%s " $is; done; mountpoint -q "$m" && echo mounted',
    prints: 'e f r s O mounted\n',
  },
}

/** What people read and copy with, by title. */
export const COPYING: Readonly<Record<string, ShellCase>> = {
  'cat gives the file, as often as it is named': { script: 'cat "$f" "$f"', prints: HELLO.repeat(2) },
  'head, tail, wc, od, grep, sort and a read of the shell agree on it': {
    script: `head -c 5 "$f"; tail -c 7 "$f"; wc -lwc <"$f"; od -An -c "$f"; grep -nb world "$f"; sort "$f"; read -r line <"$f"; echo "$line"`,
    prints: `Helloworld!\n 1  2 13\n   H   e   l   l   o       w   o   r   l   d   !  \\n\n1:0:${HELLO}${HELLO}${HELLO}`,
  },
  'sha256sum of it is right, and checks': {
    script: 'cd "$m" && sha256sum dummy-file.txt | tee "$OLDPWD/sums" && sha256sum -c "$OLDPWD/sums"',
    prints: `${SHA256}  dummy-file.txt\ndummy-file.txt: OK\n`,
  },
  'gzip packs it and it comes out again': { script: 'gzip -nc "$f" | gzip -dc | cmp - "$f" && echo same', prints: 'same\n' },
  'tar packs the mount, finds no difference, and what it unpacks is the same': {
    script:
      'tar -C "$m" -cf a.tar . && tar -tvf a.tar && tar -C "$m" --compare -f a.tar && mkdir x && tar -C x -xpf a.tar && diff -r x "$m" && tar -C x -df a.tar',
    prints:
      'drwxr-xr-x root/root         0 1970-01-01 00:00 ./\n-r--r--r-- root/root        13 1970-01-01 00:00 ./dummy-file.txt\n',
  },
  'cp -a keeps contents, permissions and times': {
    script: `cp -a "$m" copy && diff -r "$m" copy && stat -c '%a %Y %n' copy copy/dummy-file.txt`,
    prints: '755 0 copy\n444 0 copy/dummy-file.txt\n',
  },
  'cp makes sparse copies and cannot make clones': {
    script: 'cp --sparse=always "$f" sparse && cmp sparse "$f" && cp --reflink=always "$f" clone 2>/dev/null || echo no clone',
    prints: 'no clone\n',
  },
  'rsync -a copies all, and then finds nothing to do by time, size or checksum': {
    script:
      'rsync -a "$m/" copy && diff -r "$m" copy && rsync -ain "$m/" copy && rsync -ain --checksum "$m/" copy && rsync -ain copy/ "$m" && stat -c "%a %Y" copy/dummy-file.txt',
    prints: '444 0\n',
  },
  'binds of the mount and of its file show it, and a bind that is read-only too': {
    script: `unshare --mount sh -ec 'mkdir b && touch f && mount --bind "$1" b && mount --bind "$1/dummy-file.txt" f && cat b/dummy-file.txt f
mount -o remount,bind,ro b && cat b/dummy-file.txt && umount b f && ls b && cat f' sh "$m"`,
    prints: HELLO.repeat(3),
  },
  'flock(1) locks the file and the directory': {
    script: 'flock "$f" echo file && flock "$m" echo directory',
    prints: 'file\ndirectory\n',
  },
  'the shell may not execute it': { script: '"$f" 2>/dev/null', prints: '', status: 126 },
  ...Object.fromEntries(
    Object.entries(DD).map(([args, prints]) => [`dd ${args}`, { script: `dd if="$f" status=none ${args}`, prints }]),
  ),
}

/** What people change with: each fails, and says that the file system is read-only. */
export const CHANGING: readonly string[] = [
  'touch "$f"',
  'touch "$m/new"',
  'echo more >>"$f"',
  'echo new >"$m/new"',
  'rm -f "$f"',
  'rm -rf "$m"',
  'mkdir "$m/new"',
  'mkfifo "$m/new"',
  'mv "$f" away',
  'mv "$f" "$m/new"',
  'ln "$f" "$m/new"',
  'ln -s dummy-file.txt "$m/new"',
  'chmod 600 "$f"',
  'chown 1 "$m"',
  'cp /proc/self/status "$m/new"',
  'cp --remove-destination /proc/self/status "$f"',
  'install -m 644 "$f" "$m/new"',
  'dd if=/dev/zero of="$f" count=1',
  'tee -a "$f" </dev/null',
  'truncate -s 0 "$f"',
  'fallocate -l 100 "$f"',
  'sed -i s/Hello/Bye/ "$f"',
  'setfattr -n user.a -v b "$f"',
  'mktemp -p "$m"',
  'tar -C / -cf - proc/self/comm | tar -C "$m" -x',
  'rsync -a "$f" "$m/new"',
]
