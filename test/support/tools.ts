import { join } from 'node:path'
import { ROOT } from './paths.ts'

/** The CSI's own clients, where scripts/test installs them (scripts/lib/setup.sh has their versions). */
export const GRPCURL = join(ROOT, '.cache/bin/grpcurl')
export const CSI_SANITY = join(ROOT, '.cache/bin/csi-sanity')

/** A CSI plugin in Go that is not ours (test/peers/go-driver), which scripts/test builds. */
export const GO_DRIVER = join(ROOT, '.cache/bin/go-driver')

/** rclone as a Go module (test/peers/rclone), which scripts/lab-programs and scripts/shield-programs build. */
export const RCLONE = join(ROOT, '.cache/bin/rclone-1.76.0')

/** Programs that scripts/shield-programs builds: an example of go-fuse, one of fuser, and fsx (scripts/lib/setup.sh has their versions). */
export const GO_FUSE_LOOPBACK = join(ROOT, '.cache/bin/loopback')
export const FUSER_SIMPLE = join(ROOT, '.cache/bin/simple')
export const FSX = join(ROOT, '.cache/bin/fsx')
