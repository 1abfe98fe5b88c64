import type { RequestCase } from './fuse-traffic-request-case.ts'
import { FILES_REQUESTS } from './fuse-traffic-requests-files.ts'
import { NAMES_REQUESTS } from './fuse-traffic-requests-names.ts'
import { SESSION_REQUESTS } from './fuse-traffic-requests-session.ts'

/** One case at least for each opcode. */
export const REQUESTS: readonly RequestCase[] = [...SESSION_REQUESTS, ...NAMES_REQUESTS, ...FILES_REQUESTS]
