import { hasPlace, withoutPlaces } from './places.ts'
import type { PluginSeen } from './seen.ts'

/** What a first file has in place of the id of a volume. */
export const PLACEHOLDER_ID = 'CHANGE-ME'

/** What a running plugin's socket and its process tell for a first file. */
export interface RunningPlugin {
  readonly socket: string
  readonly plugin: PluginSeen
  /** Of NodeGetInfo. */
  readonly nodeId: string
  /** The executable and the arguments of the process that listens; undefined if it is in another process namespace. */
  readonly command: readonly string[] | undefined
}

/** The text of a first driver's file: what is known is filled in, and a comment says what has to be put in place of the rest. */
export function firstFile({ socket, plugin, nodeId, command }: RunningPlugin): string {
  const stages = plugin.node.includes('STAGE_UNSTAGE_VOLUME')
  const creates = plugin.controller?.includes('CREATE_DELETE_VOLUME') === true
  const words = command?.map((word, index) => (index === 0 ? withoutPlaces(word) : withPlaces(word, socket, nodeId)))
  const start = words ?? ['/path/of/the/plugin', '--endpoint', 'unix://{socket}']
  return `# The plugin at ${JSON.stringify(socket)}: ${plugin.name} ${plugin.version}
# Node service: ${plugin.node.join(', ') || 'no capabilities'}
# Controller service: ${plugin.controller === undefined ? 'none' : plugin.controller.join(', ') || 'no capabilities'}
# docs/lab.md, "Your own driver", tells what else a file may have. dummy-fuse-csi lab driver check FILE tries it.
name: ${JSON.stringify(plugin.name)}
${words === undefined ? '# Put the command of the plugin here: its process cannot be seen from where this file was made.' : '# As the process that listens was started. Secrets among the arguments belong into env or volume.secrets.'}
start: ${JSON.stringify(start)}
# Variables of its environment; they are not copied from the process, since they may be secrets.
env: {}
${words === undefined || words.some((word) => hasPlace(word, 'socket')) ? '' : `# No argument of the process names its socket.\nsocket: ${JSON.stringify(withoutPlaces(socket))}\n`}${
    creates
      ? `# It creates volumes. Put the parameters of your StorageClass here.
create: { parameters: {} }
volume:
`
      : `volume:
  id: ${PLACEHOLDER_ID} # the id of a volume that there is
`
  }  staged: ${String(stages)}
  secrets: {}
# NodePublishVolume is told of the pod (podInfoOnMount of the CSIDriver): say podInfo: true
# The driver looks pods up by their uid in /proc/PID/cgroup: say podCgroups: true
# The driver starts units over D-Bus, or by systemd-run: say systemd: true
# Puts the file there that consumers read, when the volume is published for the first time. With a volume that has a file already, leave this
# out, and name that file.
populate: printf '%s' 'read me' > {target}/lab-file
file: lab-file
content: read me
`
}

/** An argument with placeholders. The node id is replaced where it is the whole argument or the whole value of an option: shorter ids are parts of other words. */
function withPlaces(argument: string, socket: string, nodeId: string): string {
  const [option, value] = argument.startsWith('-') ? optionOf(argument) : ['', argument]
  if (nodeId.length >= 3 && value === nodeId) return `${withoutPlaces(option)}{node}`
  return argument.split(socket).map(withoutPlaces).join('{socket}')
}

/** `--name=value` as `--name=` and `value`. */
function optionOf(argument: string): readonly [string, string | undefined] {
  const end = argument.indexOf('=') + 1
  return end === 0 ? [argument, undefined] : [argument.slice(0, end), argument.slice(end)]
}
