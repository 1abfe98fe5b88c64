import type { Program } from './program.ts'
export const lab: Program = () => Promise.resolve(1)
