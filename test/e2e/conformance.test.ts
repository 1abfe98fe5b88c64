import { conformance } from '../conformance/cases.ts'
import { mountDummyFuse } from '../support/mounting.ts'

conformance('fuse-native', (sandbox) => mountDummyFuse(sandbox, ['--backend', 'fuse-native']))
