import { setImmediate } from 'node:timers/promises'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Libc } from '../../os/libc.ts'
import type { Command, ServerEvent } from './messages.ts'
import { type MakeFileSystem, SessionServer } from './server.ts'

/** Milliseconds for which this thread waits for requests at a time, while a file system works on one. Node's event loop runs in between. */
const TICK = 5

/** What a serving thread is started with. */
export interface ThreadData {
  readonly wakeFd: number
  /** Milliseconds. */
  readonly pollTime: number
  /** Becomes 1, and is notified of (Atomics), once nothing is read or answered any more. */
  readonly stopped: Int32Array<SharedArrayBuffer>
}

/** Serves sessions in this thread until the command `stop`. Commands come and events go through `port`. */
export async function serveInThread(port: MessagePort, data: ThreadData, libc: Libc, filesystem: MakeFileSystem): Promise<void> {
  const emit = (event: ServerEvent): void => {
    port.postMessage(event)
  }
  const server = new SessionServer({
    libc,
    filesystem,
    pollTime: data.pollTime,
    inbox: { wakeFd: data.wakeFd, commands: () => commandsOf(port) },
    emit,
  })
  emit({ type: 'up' })
  while (!server.stopped) {
    server.turn(server.awaited > 0 ? TICK : -1)
    if (server.awaited > 0) await setImmediate()
  }
  server.close()
  Atomics.store(data.stopped, 0, 1)
  Atomics.notify(data.stopped, 0)
}

/** Without the event loop, which a thread that sleeps in epoll_wait(2) does not come to. */
function* commandsOf(port: MessagePort): Generator<Command> {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) yield next.message as Command
}
