import { join } from 'node:path'
import { ROOT } from './paths.ts'

/** The CSI's own clients, where scripts/test installs them (scripts/lib/setup.sh has their versions). */
export const GRPCURL = join(ROOT, '.cache/bin/grpcurl')
export const CSI_SANITY = join(ROOT, '.cache/bin/csi-sanity')

/** A CSI plugin in Go that is not ours (test/peers/go-driver), which scripts/test builds. */
export const GO_DRIVER = join(ROOT, '.cache/bin/go-driver')

/** rclone as a Go module (test/peers/rclone), which scripts/lab-programs builds. */
export const RCLONE = join(ROOT, '.cache/bin/rclone-1.76.0')
