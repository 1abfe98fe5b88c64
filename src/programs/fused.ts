import type { Program } from './program.ts'

/**
 * dummy-fused alone, as a bundle of its own: readers wait for as long as it takes to start. It brings neither gRPC nor what reads a command
 * line along; both are in with-grpc.ts, and have time.
 */
export const loadFused = async (): Promise<Program> => (await import('./fused/program.ts')).fused
