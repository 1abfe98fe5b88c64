/** What dummy-fuse ends with; docs/exit-status.md says the same to people. A daemon that a signal killed: 128 + its number. */
export const STATUS = {
  ok: 0,
  failed: 1,
  usage: 2,
  mountpointMissing: 3,
  notADirectory: 4,
  notEmpty: 5,
  alreadyMounted: 6,
  deadMount: 7,
  noDevice: 8,
  notRoot: 9,
  initTimeout: 10,
  mountFailed: 11,
  aborted: 12,
  exhausted: 13,
} as const
