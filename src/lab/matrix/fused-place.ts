import { join } from 'node:path'
import { KUBELET } from '../node-paths.ts'

/** Where dummy-fused listens on the private node. */
export const FUSED_SOCKET = join(KUBELET, 'plugins/dummy-fused.sock')

/** Where it remembers its sessions. */
const FUSED_STATE = join(KUBELET, 'plugins/dummy-fused')

/** As `ps -o comm` shows it, and its lane. */
export const FUSED = 'dummy-fused'

/** Its words. */
export const FUSED_ARGS = ['--socket', FUSED_SOCKET, '--state-dir', FUSED_STATE] as const
