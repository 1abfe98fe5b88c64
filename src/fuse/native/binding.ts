import type { Binding } from 'fuse-native'
import { AddonLoader } from '../../os/addons.ts'

/**
 * fuse-native's addon, out of the executable. Loaded when this module first is, because the package asks for its addon when it
 * is loaded itself (build.mjs puts this in the place of its search on disk): import the backend only where it is to serve.
 */
export const binding: Binding = load()

function load(): Binding {
  const addons = new AddonLoader()
  addons.preload('libfuse.so.2')
  return addons.load('fuse.node') as Binding
}
