import { join, resolve } from 'node:path'

/** The checkout. */
export const ROOT = resolve(import.meta.dirname, '../..')

/** The executable and its names, as build.mjs leaves them. */
export const EXECUTABLE = join(ROOT, 'dist/dummy-fuse-csi')
export const DUMMY_FUSE = join(ROOT, 'dist/dummy-fuse')
export const WORKLOAD = join(ROOT, 'dist/dummy-fuse-workload')
