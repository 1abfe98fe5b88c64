import { access } from 'node:fs/promises'

/**
 * Starts the threads of libuv's pool. libuv starts them at the first operation, and ends the process where it cannot (EAGAIN, ENOMEM; its
 * src/threadpool.c, init_threads): that must not happen in the middle of a call.
 */
export async function startThreadPool(): Promise<void> {
  await access('/')
}
