import { runBundle } from './os/bundled.ts'

// Where its serving thread begins.
runBundle('serving-thread')
