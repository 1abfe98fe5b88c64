import assert from 'node:assert/strict'
import type { SharedMount } from '../support/shared-mount.ts'
import { HELLO } from './case.ts'
import { shell } from './shell.ts'

interface OverlayCase {
  /** Runs in the merged directory, with the layer that is written to in $upper. */
  readonly script: string
  readonly prints: string
}

/** What an overlay shows and writes, by title. */
export const OVERLAY: Readonly<Record<string, OverlayCase>> = {
  'shows the file, with its permissions and times, and copies nothing': {
    script: `ls -A; cat dummy-file.txt; stat -c '%a %s %Y %F' dummy-file.txt; dd if=dummy-file.txt iflag=direct status=none; ls -A "$upper"`,
    prints: `dummy-file.txt\n${HELLO}444 13 0 regular file\n${HELLO}`,
  },
  'copies the file up when it is written to': {
    script: 'echo more >>dummy-file.txt && cat dummy-file.txt "$upper/dummy-file.txt"',
    prints: `${HELLO}more\n`.repeat(2),
  },
  'copies the file up when its permissions change, with its contents and time': {
    script: `chmod 600 dummy-file.txt && stat -c '%a %s %Y' dummy-file.txt "$upper/dummy-file.txt" && cat "$upper/dummy-file.txt"`,
    prints: `600 13 0\n600 13 0\n${HELLO}`,
  },
  'hides the file behind a whiteout when it is removed, and takes a new one by its name': {
    script: `rm -f dummy-file.txt && ls -A && stat -c '%F %t %T' "$upper/dummy-file.txt" && cat dummy-file.txt 2>/dev/null || echo gone; echo new >dummy-file.txt; cat dummy-file.txt`,
    prints: 'character special file 0 0\ngone\nnew\n',
  },
  'moves the file to another name': {
    script: `mv dummy-file.txt moved && ls -A && cat moved && stat -c %F "$upper/dummy-file.txt"`,
    prints: `moved\n${HELLO}character special file\n`,
  },
  'takes new files and directories beside it': {
    script: 'mkdir new && cp dummy-file.txt new/copy && find . -type f | sort && cmp new/copy dummy-file.txt && ls -A "$upper"',
    prints: './dummy-file.txt\n./new/copy\nnew\n',
  },
}

/** Runs a case on an overlay in a mount namespace of its own, and sees that the lower layer is as it was. */
export async function onOverlay(mounted: SharedMount, { script, prints }: OverlayCase): Promise<void> {
  const setup = `set -e
mount -t tmpfs tmpfs . && cd . && cd "$PWD" && mkdir upper work merged
mount -t overlay overlay -o "lowerdir=$m,upperdir=$PWD/upper,workdir=$PWD/work" merged
upper=$PWD/upper
cd merged
set +e`
  const { stdout, stderr, status } = await shell(mounted, `${setup}\n${script}`, ['unshare', '--mount', '--propagation', 'private'])
  assert.deepEqual([stdout + stderr, status], [prints, 0])
  const lower = await shell(mounted, 'ls -A "$m"; cat "$f"')
  assert.equal(lower.stdout, `dummy-file.txt\n${HELLO}`)
}
