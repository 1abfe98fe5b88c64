import type { DriverSeen } from './driver/seen.ts'
import type { Cell } from './matrix/lab-record.ts'
import type { MountSeen } from './mount-command/seen.ts'
import type { Check, LogLine, Step } from './scenario-record.ts'

/** What the process in the private node tells the lab outside, one JSON object a line. */
export type Message =
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'line'; readonly process: string; readonly line: LogLine }
  | { readonly kind: 'check'; readonly check: Check }
  /** The node's mount namespace, as the link in /proc/PID/ns has it. */
  | { readonly kind: 'namespace'; readonly mnt: string }
  | { readonly kind: 'cell'; readonly cell: Cell }
  | { readonly kind: 'mount'; readonly seen: MountSeen }
  | { readonly kind: 'driver'; readonly seen: DriverSeen }
  | { readonly kind: 'end' }
  | { readonly kind: 'broken off'; readonly reason: string }
