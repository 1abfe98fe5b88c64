import { join } from 'node:path'
import { ROOT } from './paths.ts'

/** The CSI's own clients, where scripts/test installs them (scripts/lib/setup.sh has their versions). */
export const GRPCURL = join(ROOT, '.cache/bin/grpcurl')
export const CSI_SANITY = join(ROOT, '.cache/bin/csi-sanity')
