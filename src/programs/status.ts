import type { Program } from './program.ts'
export const status: Program = () => Promise.resolve(1)
