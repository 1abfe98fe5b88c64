import type { ClaimName } from './claims.ts'
import type { OutcomeId } from './lab-record.ts'

/**
 * A line of the model: for these failures, mitigations and consumers this outcome, for this reason. Words are ids, `,` is between
 * several, `*` is all, and a name in capitals one of `GROUPS`. An outcome may be one of several (`a|b`) where a race decides.
 */
export type Line = readonly [
  failures: string,
  mitigations: string,
  consumers: string,
  outcome: OutcomeId | `${OutcomeId}|${string}`,
  claim: ClaimName,
]

/** Names for several ids. */
export const GROUPS: Readonly<Record<string, string>> = {
  /** They end the plugin, and with it what lives in its container; then it is started again. */
  PLUGIN_ENDS: 'plugin-killed,plugin-restarted,plugin-upgraded',
  /** The session ends, and the plugin does not. */
  SESSION_ENDS: 'daemon-killed,connection-aborted',
  /** All that strikes a mount that stands. */
  NOT_MOUNTING:
    'plugin-killed,plugin-restarted,plugin-upgraded,daemon-killed,daemon-upgraded,daemon-hung,daemon-replaced,staging-unmounted,target-unmounted,machine-crash,out-of-descriptors,connection-aborted,holder-killed,helper-killed',
  /** FUSE daemons in the plugin's container. */
  CHILD: 'none,restore,stack,restore-exit,host-to-container,health,shared',
  /** FUSE daemons outside of it. */
  SEPARATE: 'separate,separate-shared',
  /** A FUSE daemon for each volume. */
  PER_VOLUME: 'none,restore,stack,restore-exit,host-to-container,health,separate,shield',
  /** One FUSE daemon for all volumes, whose descriptors nobody else holds. */
  SHARED: 'shared,separate-shared',
  /** What is mounted again when the plugin starts. */
  RESTORED: 'restore,stack,restore-exit,host-to-container,shared',
  /** Sessions of dummy-fused, which outlive it. */
  KEPT: 'service,keep',
  /** They strike what only a shield has. */
  SHIELD_ENDS: 'helper-killed,holder-killed',
  /** They hold something of the session. */
  HOLDERS: 'keeps-open,mapped,cwd,neighbour',
  /** Everybody who is there before. */
  RUNNING: 'keeps-open,opens-anew,mapped,cwd,private,slave-volume,slave-folder,exits-on-error,neighbour',
}

/**
 * What must come out, cell by cell. The first line that fits counts; a cell that none fits is a defect (test/unit/lab-model.test.ts). A pod that starts after the failure
 * may start late: on a busy machine the kubelet calls again before the plugin has answered.
 */
export const MODEL: readonly Line[] = [
  // What strikes one volume reaches another one only through what they share.
  ['daemon-killed,daemon-upgraded,daemon-hung,daemon-replaced,SHIELD_ENDS', 'PER_VOLUME', 'neighbour', 'works', 'ownDaemon'],
  ['daemon-killed,daemon-upgraded', 'SHARED', 'neighbour', 'errors', 'sharedDaemon'],
  ['daemon-replaced', 'SHARED,KEPT', 'neighbour', 'waits', 'queued'],
  ['connection-aborted,staging-unmounted,target-unmounted', '*', 'neighbour', 'works', 'ownSession'],

  // The plugin ends and comes back; its daemons went with it.
  ['PLUGIN_ENDS', 'CHILD,SEPARATE,KEPT,shield', 'starts-during', 'starts-late|works|restarted', 'noPlugin'],
  ['PLUGIN_ENDS', 'health', 'starts-after', 'works|restarted|starts-late', 'mends'],
  ['PLUGIN_ENDS', '*', 'starts-after', 'works|starts-late', 'mends'],
  ['PLUGIN_ENDS', 'none', 'exits-on-error', 'errors', 'refused'],
  ['PLUGIN_ENDS', 'none', 'RUNNING', 'errors', 'dead'],
  ['PLUGIN_ENDS', 'restore-exit', 'RUNNING', 'restarted|writes-to-host-recovers', 'restarted'],
  ['PLUGIN_ENDS', 'stack', 'exits-on-error', 'restarted', 'restarted'],
  ['PLUGIN_ENDS', 'stack', 'opens-anew,slave-volume,slave-folder', 'recovers', 'stacked'],
  ['PLUGIN_ENDS', 'RESTORED', 'exits-on-error', 'restarted|writes-to-host-recovers', 'restarted'],
  ['PLUGIN_ENDS', 'RESTORED', 'HOLDERS', 'errors', 'held'],
  ['PLUGIN_ENDS', 'restore,shared', 'opens-anew', 'recovers|writes-to-host-recovers', 'gap'],
  ['PLUGIN_ENDS', 'restore,stack,shared', 'private', 'errors', 'privateCopy'],
  ['PLUGIN_ENDS', 'RESTORED', 'slave-volume', 'errors', 'slaveOfDead'],
  ['PLUGIN_ENDS', 'RESTORED', 'opens-anew,slave-folder', 'recovers|writes-to-host-recovers', 'slaveOfFolder'],
  ['PLUGIN_ENDS', 'health', 'RUNNING', 'restarted', 'noticed'],
  ['PLUGIN_ENDS', 'SEPARATE,KEPT,shield', 'RUNNING', 'works', 'survives'],

  // The session ends, and the plugin goes on: nothing makes it mount again but somebody who asks.
  ['SESSION_ENDS', 'health', 'starts-during,starts-after', 'works|restarted|starts-late', 'mends'],
  ['daemon-killed', 'KEPT', '*', 'works|waits', 'kept'],
  ['daemon-killed', 'shield', 'RUNNING', 'works|waits', 'shielded'],
  ['daemon-killed', 'shield', '*', 'works|waits|starts-late', 'shielded'],
  // A signal takes a moment: a publication straight after it may still find the daemon alive, and its first container ends with an error.
  ['SESSION_ENDS', '*', 'starts-during', 'works|restarted|starts-late', 'mends'],
  ['SESSION_ENDS', '*', 'starts-after', 'works|starts-late', 'mends'],
  ['SESSION_ENDS', 'health', 'RUNNING', 'restarted', 'noticed'],
  ['SESSION_ENDS', 'restore-exit', 'keeps-open,opens-anew,mapped,cwd,slave-folder', 'errors', 'again'],
  ['SESSION_ENDS', 'restore-exit', 'private,slave-volume,exits-on-error', 'errors', 'refused'],
  ['SESSION_ENDS', 'host-to-container', 'exits-on-error', 'errors', 'again'],
  ['SESSION_ENDS', '*', 'exits-on-error', 'errors', 'refused'],
  ['SESSION_ENDS', '*', 'RUNNING', 'errors', 'dead'],

  // The daemon is upgraded.
  ['daemon-upgraded', 'SEPARATE', 'starts-during,starts-after', 'works|starts-late', 'mends'],
  ['daemon-upgraded', 'SEPARATE', 'exits-on-error', 'restarted|writes-to-host-recovers', 'restarted'],
  ['daemon-upgraded', 'SEPARATE', 'HOLDERS', 'errors', 'held'],
  ['daemon-upgraded', 'SEPARATE', 'opens-anew', 'recovers|writes-to-host-recovers', 'gap'],
  ['daemon-upgraded', 'SEPARATE', 'private', 'errors', 'privateCopy'],
  ['daemon-upgraded', 'SEPARATE', 'slave-volume', 'errors', 'slaveOfDead'],
  ['daemon-upgraded', 'SEPARATE', 'slave-folder', 'recovers|writes-to-host-recovers', 'slaveOfFolder'],
  ['daemon-upgraded', 'KEPT', '*', 'works|waits', 'kept'],
  ['daemon-upgraded', 'shield', 'RUNNING', 'works|waits', 'heldBack'],
  ['daemon-upgraded', 'shield', '*', 'works|waits|starts-late', 'heldBack'],

  // What has to do with a shield alone.
  ['helper-killed', 'shield', 'RUNNING', 'works|waits', 'succeeded'],
  ['helper-killed', 'shield', '*', 'works|waits|starts-late', 'succeeded'],
  ['holder-killed', 'shield', 'starts-during', 'works|restarted|starts-late', 'mends'],
  ['holder-killed', 'shield', 'starts-after', 'works|starts-late', 'mends'],
  ['holder-killed', 'shield', 'RUNNING', 'errors', 'keptNoMore'],

  // The daemon hangs for a time.
  ['daemon-hung', 'health', 'RUNNING', 'restarted', 'noticed'],
  ['daemon-hung', 'health', 'starts-after', 'works|restarted|starts-late', 'mends'],
  ['daemon-hung', 'shield', 'RUNNING', 'waits', 'queuedByShield'],
  ['daemon-hung', '*', 'RUNNING', 'waits', 'queued'],
  ['daemon-hung', '*', 'starts-after', 'works|starts-late', 'mends'],
  ['daemon-replaced', 'shield', 'starts-during', 'works|waits|starts-late', 'notAsked'],
  ['daemon-replaced', 'shield', 'RUNNING', 'waits', 'notAsked'],
  ['daemon-replaced', 'health', 'starts-during,starts-after', 'works|restarted|starts-late', 'mends'],
  ['daemon-replaced', 'health', 'RUNNING', 'restarted', 'noticed'],
  // A signal takes a moment: a publication straight after it may still find the daemon alive, and its first container ends with an error.
  ['daemon-replaced', '*', 'starts-during', 'works|restarted|starts-late', 'mends'],
  ['daemon-replaced', '*', 'starts-after', 'works|starts-late', 'mends'],
  ['daemon-replaced', 'SHARED', 'RUNNING', 'waits', 'spared'],
  ['daemon-replaced', 'restore-exit', 'keeps-open,opens-anew,mapped,cwd,slave-folder', 'errors', 'again'],
  ['daemon-replaced', '*', 'exits-on-error', 'errors', 'refused'],
  ['daemon-replaced', '*', 'RUNNING', 'errors', 'replaced'],

  // The background mount fails, and works once the storage is back.
  ['mount-fails', 'waiting-parent,sync-init', 'starts-after', 'works|starts-late', 'waited'],
  ['mount-fails', 'waiting-parent,sync-init', '*', 'starts-late', 'waited'],
  ['mount-fails', 'none', '*', 'writes-to-host', 'emptied'],

  // The background mount lands after the bind.
  ['mount-late', 'waiting-parent,sync-init', '*', 'works', 'waitedFor'],
  ['mount-late', 'none', 'keeps-open,mapped', 'writes-to-host-recovers', 'lateHeld'],
  ['mount-late', 'none', 'exits-on-error', 'writes-to-host|writes-to-host-recovers', 'late'],
  ['mount-late', 'none', '*', 'writes-to-host', 'late'],

  // Somebody unmounts by hand.
  ['staging-unmounted', 'health', 'starts-during,starts-after', 'works|restarted|starts-late', 'mends'],
  ['staging-unmounted', 'health', 'RUNNING', 'restarted', 'noticed'],
  ['staging-unmounted', '*', 'starts-during,starts-after', 'works|starts-late', 'mends'],
  ['staging-unmounted', '*', 'RUNNING', 'works', 'bind'],
  ['target-unmounted', 'health', 'starts-during,starts-after', 'works|restarted|starts-late', 'mends'],
  ['target-unmounted', 'health', 'opens-anew,slave-folder', 'writes-to-host-recovers|restarted', 'noticedLate'],
  ['target-unmounted', 'health', 'RUNNING', 'restarted', 'noticed'],
  ['target-unmounted', '*', 'starts-during,starts-after', 'works|starts-late', 'mends'],
  ['target-unmounted', '*', 'HOLDERS,exits-on-error', 'works', 'detached'],
  ['target-unmounted', '*', 'private,slave-volume', 'works', 'ownCopy'],
  ['target-unmounted', '*', 'opens-anew,slave-folder', 'writes-to-host', 'unmounted'],

  // The machine crashes.
  ['machine-crash', '*', 'starts-after', 'works|starts-late', 'rebooted'],
  ['machine-crash', '*', 'RUNNING', 'restarted', 'rebooted'],

  // Plugin and daemon may open no further file for a time.
  ['out-of-descriptors', '*', 'starts-during', 'starts-late|works', 'emfile'],
  ['out-of-descriptors', '*', 'starts-after', 'works|starts-late', 'mends'],
  ['out-of-descriptors', '*', 'RUNNING', 'works', 'noDescriptorNeeded'],
]

/** Combinations that make no sense, and why; as in `MODEL`, the first that fits counts. They come before it. */
export const ABSENT: readonly (readonly [failures: string, mitigations: string, consumers: string, reason: string])[] = [
  [
    'mount-fails,mount-late',
    'restore,stack,restore-exit,host-to-container,health,SEPARATE,shared,KEPT,shield',
    '*',
    'This is about how a mount comes to be, and the flawed start is met with the cures for it alone; what is done about mounts that die comes later.',
  ],
  [
    'NOT_MOUNTING',
    'waiting-parent,sync-init',
    '*',
    'It is about how a mount comes to be; of one that stands it is no different from none.',
  ],
  ['helper-killed', 'CHILD,SEPARATE,KEPT', '*', 'No program stands between the kernel and the daemon.'],
  ['holder-killed', 'CHILD,SEPARATE', '*', 'No process but the daemon has a descriptor of its connection.'],
  ['holder-killed', 'service', '*', 'systemd holds the descriptors. It is process 1, which no signal kills.'],
  [
    'holder-killed',
    'keep',
    '*',
    'A daemon ends with its keeper, and all sessions with it (docs/keep.md). On the node of the lab nothing starts a keeper again.',
  ],
  ['daemon-upgraded', 'CHILD', '*', "The daemon is in the plugin's container, and is upgraded with it: see the plugin's upgrade."],
  [
    '*',
    'host-to-container',
    'private',
    'A private mount namespace is what this mitigation does away with: its consumers are slaves of the folder above.',
  ],
  [
    'mount-fails,mount-late',
    '*',
    'neighbour',
    'The flaw is the plugin’s and meets each of its volumes alike: a second one shows what the first one does.',
  ],
  ['machine-crash', '*', 'starts-during', 'Nothing starts on a machine that is off.'],
  [
    'daemon-hung',
    '*',
    'starts-during',
    'A pod that starts has the plugin replace a daemon that does not answer, which changes everything for the others: that is a failure of its own, daemon-replaced.',
  ],
]
