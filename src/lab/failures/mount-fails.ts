import { type Failure, nothing } from './failure.ts'

/** blobfuse2 #1081. */
export const mountFails: Failure = {
  id: 'mount-fails',
  title: 'Mount fails in the background',
  words:
    'The daemon goes to the background and then fails to mount, because the storage does not answer (blobfuse2 #1081). Then the storage answers again, and the plugin is started again.',
  flaw: () => ['--inject', 'mount-fail'],
  lastsMs: 1500,
  untilPodComes: true,
  strike: nothing,
  mend: async ({ plugin }) => {
    await plugin.stop()
    await plugin.start()
  },
}
