import { join } from 'node:path'

/** The kubelet's root directory, by its usual name: it exists as such on the private node only. */
export const KUBELET = '/var/lib/kubelet'

/** The source of what the lab itself mounts on a node. A process knows by it that it is on a private node. */
export const MARK = 'dummy-fuse-lab'

/** The plugin's folder on the node: its socket and its state. */
export const PLUGIN_FOLDER = join(KUBELET, 'plugins/dummy-fuse-csi')

export const SOCKET = join(PLUGIN_FOLDER, 'csi.sock')

/** The plugin's flags for that. */
export const PLUGIN_FLAGS = ['--endpoint', `unix://${SOCKET}`, '--state-dir', PLUGIN_FOLDER, '--nodeid', 'lab-node'] as const

/** dummy-fused's name, as `ps -o comm` shows it. */
export const FUSED = 'dummy-fused'

/** dummy-fuse's name, as `ps -o comm` shows it. */
export const DUMMY_FUSE = 'dummy-fuse'

/** The names of the shield, and of what keeps its session when it is killed, as `ps -o comm` shows them. */
export const SHIELD = { shield: 'dummy-shield', keeper: 'dummy-fuse-keep' } as const

/** Where each shield of a machine has a folder (src/shield/control-folder.ts). */
export const SHIELDS = '/run/dummy-fuse-shield'

/** The file for `serve --program` that has the daemon of each volume run behind a shield. */
export const SHIELDED_PROGRAM = join(KUBELET, 'tmp/shielded.json')

/** The socket of dummy-fused. */
export const FUSED_SOCKET = join(KUBELET, 'plugins/dummy-fused.sock')

/** The flags of dummy-fused for its socket and its state. */
export const FUSED_FLAGS = ['--socket', FUSED_SOCKET, '--state-dir', join(KUBELET, 'plugins/dummy-fused')] as const

/** Where the kubelet has a volume staged (kubernetes pkg/volume/csi, makeDeviceMountPath of its earlier releases, as in the original project). */
export function stagingPath(pv: string): string {
  return join(KUBELET, 'plugins/kubernetes.io/csi/pv', pv, 'globalmount')
}

/** Where the kubelet has a volume published for one pod (kubernetes pkg/volume/csi, GetPath). */
export function targetPath(podUid: string, pv: string): string {
  return join(KUBELET, 'pods', podUid, 'volumes/kubernetes.io~csi', pv, 'mount')
}

/** What stands for any name in the paths of {@link OF_VOLUMES}. */
const ANY = '*'

/** The staging path and the target of any volume, name by name. */
const OF_VOLUMES = [stagingPath(ANY), targetPath(ANY, ANY)].map((path) => path.split('/'))

/** Whether a path is below a staging path or a target, of whatever volume. */
export function isInVolume(path: string): boolean {
  const names = path.split('/')
  return OF_VOLUMES.some((place) => names.length > place.length && place.every((name, at) => name === ANY || name === names[at]))
}

/** Where the hierarchy of cgroups is. */
export const CGROUPS = '/sys/fs/cgroup'

/** Where a private node has another boot id after its power was cut. */
export const BOOT_ID = '/proc/sys/kernel/random/boot_id'
