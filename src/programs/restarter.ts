import type { Program } from './program.ts'
import { restarter } from './restarter/program.ts'

/**
 * The restarter brings the client of Kubernetes along, and so is a bundle of its own (build.mjs), which no other program loads. It is imported at once:
 * from what is imported later, esbuild leaves nothing out.
 */
export const loadRestarter = async (): Promise<Program> => await Promise.resolve(restarter)
