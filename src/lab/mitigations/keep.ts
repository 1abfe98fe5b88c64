import type { Mitigation } from './mitigation.ts'

/** The session that outlives its daemon, kept by our own keeper. */
export const keep: Mitigation = {
  id: 'keep',
  title: 'Session kept by keep',
  words: 'The same without systemd: dummy-fuse-csi keep holds the descriptors and starts the daemon again.',
  hosting: 'keep',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: false,
}
