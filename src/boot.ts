import { runBundle } from './os/bundled.ts'

// Where the executable begins.
runBundle('main')
