import type { Program } from './program.ts'

/**
 * The programs that need gRPC. build.mjs puts them into a bundle of their own: a bundle that holds gRPC takes longer to load, and the programs of
 * without-grpc.ts start fast. Two bundles share no module objects, so errors are compared by name and not by class.
 */
export const loadPlugin = async (): Promise<Program> => (await import('./plugin/program.ts')).plugin

export const loadLab = async (): Promise<Program> => (await import('./lab/program.ts')).lab

/** What dummy-fused answers calls with. It has taken over its sessions by then. */
export const loadFusedServices = async (): Promise<typeof import('./fused/services.ts')> => await import('./fused/services.ts')

/** What reads the arguments of dummy-fused. */
export const loadFusedOptions = async (): Promise<typeof import('./fused/options.ts')> => await import('./fused/options.ts')
