import type { Program } from '../program.ts'
export const plugin: Program = () => Promise.resolve(1)
