import { ServingLoop } from '../fuse/session/loop.ts'
import { MainThreadTurns } from '../fuse/session/main-thread-turns.ts'
import { AdaptivePolling } from '../fuse/session/polling.ts'
import { Epoll } from '../os/descriptors/epoll.ts'
import { settledWithin } from '../os/processes/settled-within.ts'
import { type DaemonCommand, type DaemonParts, DaemonProcess } from './daemon-process.ts'
import { Refused } from './refused.ts'

/** Milliseconds. */
interface SearchTimes {
  /** For the start of the program, up to its mount(2). */
  readonly start: number
  /** For its end after SIGKILL. */
  readonly killed: number
}

/**
 * Starts a program in order to see where it mounts, an absolute path, and kills it before anything is mounted. To be used by a process that serves nothing. Rejects with Refused
 * if the program ends before, or does not mount in time.
 */
export async function mountPointOf(
  { libc, launcher }: Pick<DaemonParts, 'libc' | 'launcher'>,
  { file, args }: Pick<DaemonCommand, 'file' | 'args'>,
  times: SearchTimes,
): Promise<string> {
  const turns = new MainThreadTurns(libc)
  const loop = new ServingLoop(new Epoll(libc), new AdaptivePolling(0), libc.yielder())
  loop.listen(turns.neighbour.fd, turns.neighbour.readable)
  const taker = { busy: true, awaited: 0, turn: loop.turn.bind(loop) }
  turns.begin(taker)
  const found = Promise.withResolvers<string>()
  // It mounts nowhere, and so has no directory of ours.
  const command = { file, words: [], args, target: '/' }
  const daemon: DaemonProcess = new DaemonProcess({ libc, loop, launcher, output: undefined }, command, {
    mounting: ({ target }) => {
      // Before it hears that it cannot mount, and says so.
      daemon.kill()
      turns.due()
      found.resolve(target)
      return 'EPERM'
    },
    ended: (why) => found.reject(new Refused(`${file} ${why} before it had mounted`)),
  })
  try {
    const target = await settledWithin(found.promise, times.start)
    if (target === 'late') throw new Refused(`${file} has not mounted within ${times.start / 1000} s`)
    return target
  } finally {
    daemon.kill()
    await daemon.endsWithin(times.killed)
    daemon.close()
    taker.busy = false
  }
}
