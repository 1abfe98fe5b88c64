import { join, resolve } from 'node:path'

/** The checkout. */
export const ROOT = resolve(import.meta.dirname, '../..')

/** The folder that holds the executable and its names, as build.mjs leaves them; another build's with DUMMY_FUSE_CSI_DIST. */
export const DIST = process.env.DUMMY_FUSE_CSI_DIST ?? join(ROOT, 'dist')

export const EXECUTABLE = join(DIST, 'dummy-fuse-csi')
export const DUMMY_FUSE = join(DIST, 'dummy-fuse')
export const WORKLOAD = join(DIST, 'dummy-fuse-workload')
