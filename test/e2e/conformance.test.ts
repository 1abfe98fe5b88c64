import { conformance } from '../conformance/cases.ts'
import { mountDummyFuse } from '../support/mounting.ts'

for (const backend of ['session', 'fuse-native']) {
  conformance(backend, async (sandbox, options = '') => await mountDummyFuse(sandbox, ['--backend', backend, '-o', options]))
}
