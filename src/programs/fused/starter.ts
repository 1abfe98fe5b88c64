import { READY_FD } from '../../os/processes/daemon-channel.ts'

/** A plugin that has started this process, and waits for its word (`--daemons shared`). */
export interface Starter {
  /** Tells the plugin that the socket is served. */
  announce(): Promise<void>
  /** Resolves to the exit status when the plugin has gone before it was told: no session is served yet. */
  readonly lost: Promise<number>
}

/**
 * The plugin that waits on the descriptor that the environment names; undefined if none does. node:net is loaded only then: readers may wait for
 * a daemon that was started by anybody else.
 */
export async function openStarter(env: NodeJS.ProcessEnv): Promise<Starter | undefined> {
  if (env[READY_FD] === undefined) return undefined
  const { StarterChannel, takeReadyFd } = await import('../dummy-fuse/channel.ts')
  const fd = takeReadyFd(env)
  if (fd === undefined) return undefined
  const gone = Promise.withResolvers<number>()
  const channel = new StarterChannel(fd)
  const watch = channel.onLost(() => {
    gone.resolve(0)
  })
  // A daemon that outlives its plugin keeps no folder of the plugin's in use.
  process.chdir('/')
  return {
    announce: async () => {
      if (!(await channel.say('ready'))) gone.resolve(0)
      watch[Symbol.dispose]()
      channel.release()
    },
    lost: gone.promise,
  }
}
