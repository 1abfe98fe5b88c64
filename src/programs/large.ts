import type { Program } from './program.ts'

/**
 * The programs that bring gRPC along. build.mjs bundles them apart from the small ones, which would start slower for having them in
 * their own bundle; so nothing that main shares with them is the same object, and errors are told by their names.
 */
export const loadPlugin = async (): Promise<Program> => (await import('./plugin/program.ts')).plugin

export const loadLab = async (): Promise<Program> => (await import('./lab/program.ts')).lab

/** What dummy-fused answers calls with. It has taken over its sessions by then. */
export const loadFusedServices = async (): Promise<typeof import('./fused/services.ts')> => await import('./fused/services.ts')

/** What reads the arguments of dummy-fused. */
export const loadFusedOptions = async (): Promise<typeof import('./fused/options.ts')> => await import('./fused/options.ts')
