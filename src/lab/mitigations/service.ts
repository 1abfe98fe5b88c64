import type { Mitigation } from './mitigation.ts'

/** The session that outlives its daemon, kept by systemd. */
export const service: Mitigation = {
  id: 'service',
  title: 'Session kept by systemd',
  words:
    'One daemon serves all volumes, and systemd holds its FUSE descriptors. When the daemon crashes or is upgraded, its successor serves the same sessions.',
  hosting: 'systemd',
  pluginFlags: ['--restore-mounts'],
  trustsDaemons: false,
}
