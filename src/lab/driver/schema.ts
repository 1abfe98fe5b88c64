import * as v from 'valibot'
import { VolumeCapability_AccessMode_Mode as Mode } from '../../rpc/csi_pb.ts'
import type { AccessMode } from '../kubelet.ts'
import { described, strict } from '../../schema.ts'

/** The schema of a driver's file (docs/lab.md). The JSON schema for editors is made from it, so that it has no transformations. */

const ACCESS_MODES = Object.keys(Mode).filter((name): name is AccessMode => name !== 'UNKNOWN')

/** Words may be written as numbers. */
const WORDS = v.array(v.union([v.string(), v.number()]))

/** YAML reads an unquoted `true` or `1` as no text, and means one here. */
const TEXT = v.union([v.string(), v.number(), v.boolean()])

/** Names with values. valibot takes a list for a record whose names are numbers. */
const TEXTS = v.record(
  v.pipe(v.string(), v.regex(/[^0-9]/, 'has no name; names with values are wanted, and no list')),
  TEXT,
  'is not a list of names with values',
)

const NO_BYTES = 'is not a number of bytes, with K, M, G, T, P, Ki, Mi, Gi, Ti or Pi after it if wanted'

const BYTES = v.union(
  [
    v.pipe(v.number(), v.integer(NO_BYTES), v.minValue(1, NO_BYTES), v.maxValue(Number.MAX_SAFE_INTEGER, NO_BYTES)),
    v.pipe(v.string(), v.regex(/^[0-9]+([KMGTP]i?|k)?$/, NO_BYTES)),
  ],
  NO_BYTES,
)

const VARIABLES = v.record(
  v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of an environment variable')),
  TEXT,
  'is not a list of names with values',
)

/** Of shell lines, which have braces of their own. */
const PLACES_IN_SHELL =
  'A placeholder as {state} is filled in; {{state}} is that text itself, ${{state}} a variable of the shell, and other braces stay.'

const CALL_SECRETS = strict({
  controllerCreate: v.optional(described(TEXTS, 'Of CreateVolume.')),
  controllerDelete: v.optional(described(TEXTS, 'Of DeleteVolume.')),
  nodeStage: v.optional(described(TEXTS, 'Of NodeStageVolume.')),
  nodePublish: v.optional(described(TEXTS, 'Of NodePublishVolume.')),
})

const VOLUME = strict({
  id: v.optional(described(v.string(), 'The id of a volume that exists. A volume of create has that of the answer.')),
  staged: v.nullish(described(v.boolean(), 'Whether the driver stages volumes (STAGE_UNSTAGE_VOLUME). Default: true.')),
  accessMode: v.optional(
    described(v.picklist(ACCESS_MODES, `is not one of ${ACCESS_MODES.join(', ')}`), 'Default: MULTI_NODE_MULTI_WRITER.'),
  ),
  attributes: v.nullish(described(TEXTS, 'volume_context. A volume of create has that of the answer.')),
  publishContext: v.nullish(described(TEXTS, 'publish_context.')),
  secrets: v.nullish(described(TEXTS, 'The secrets of every call that has none of its own in callSecrets.')),
  callSecrets: v.nullish(described(CALL_SECRETS, 'The secrets of single calls.')),
  fsType: v.optional(v.string()),
  mountFlags: v.nullish(WORDS),
})

const CREATE = strict({
  parameters: v.nullish(described(TEXTS, 'The parameters of the StorageClass.')),
  capacity: v.optional(
    described(
      v.union([BYTES, strict({ required: v.optional(BYTES), limit: v.optional(BYTES) })], NO_BYTES),
      'capacity_range: the bytes that are required, or required and limit.',
    ),
  ),
})

const HELPER = strict({
  name: described(
    v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,40}$/, 'is not a lower-case name of at most 41 letters, digits and hyphens')),
    'Its name in the report.',
  ),
  command: described(WORDS, 'The program, from an absolute path, and its arguments; no shell reads them.'),
  ready: v.optional(
    described(v.string(), `A shell line that succeeds when it is ready. ${PLACES_IN_SHELL} Default: it is once it runs.`),
  ),
  belongs: described(
    v.picklist(['container', 'node', 'service'], 'is not container, node or service'),
    "container: it starts and ends with the plugin's container. node: it starts and ends with the machine. service: the same, and it is started again whenever it ends.",
  ),
  storage: v.nullish(
    described(
      v.boolean(),
      'Whether it is the storage of the volume, which the failures storage-hung and storage-down strike. Default: false.',
    ),
  ),
})

const SHIELD = strict({
  start: described(
    WORDS,
    'Runs the plugin in the foreground, with its FUSE daemons behind dummy-fuse-csi shield. The first word is an absolute path; no shell reads them.',
  ),
  container: v.nullish(
    described(WORDS, "Processes, as ps -o comm shows them, that end with the plugin's container then. Default: none."),
  ),
  readOnly: v.nullish(described(v.boolean(), 'Whether its volumes are read-only then. Default: false.')),
})

/** The most seconds that `watch` may have. */
export const LONGEST_WATCH = 600

/** A driver's file as it is written. */
export const DRIVER_FILE = strict({
  name: v.string(),
  start: described(WORDS, 'Runs the plugin in the foreground. The first word is an absolute path; no shell reads them.'),
  upgrade: v.optional(described(WORDS, 'The next version of the plugin. Default: start.')),
  stop: v.optional(described(v.picklist(['SIGTERM', 'SIGINT'], 'is neither SIGTERM nor SIGINT'), 'Default: SIGTERM.')),
  env: v.nullish(described(VARIABLES, 'Variables of the environment of start and upgrade.')),
  socket: v.optional(
    described(v.string(), 'Where the plugin listens, an absolute path. Its folder is made. Default: csi.sock in {state}.'),
  ),
  network: v.optional(
    described(
      v.picklist(['loopback', 'host'], 'is neither loopback nor host'),
      'The network of each cell. loopback: one of its own, with a loopback interface alone. host: that of the machine, for storage that no helper is. Default: loopback.',
    ),
  ),
  systemd: v.nullish(
    described(
      v.boolean(),
      'Whether each node is a machine of its own that systemd runs (systemd-nspawn), and the plugin a unit there. For drivers that start units over D-Bus. Default: false.',
    ),
  ),
  callTimeout: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0.1, 'is less than 0.1 seconds'), v.maxValue(600, 'is more than 600 seconds')),
      'Seconds that one call may take. Default: 3.',
    ),
  ),
  watch: v.optional(
    described(
      v.pipe(
        v.number(),
        v.minValue(2, 'is less than 2 seconds'),
        v.maxValue(LONGEST_WATCH, `is more than ${LONGEST_WATCH} seconds`),
      ),
      'Seconds for which a consumer that reads wrong is watched, from the repair or from its own start. It is found out if it is left out.',
    ),
  ),
  podInfo: v.nullish(described(v.boolean(), 'Whether NodePublishVolume is told of the pod (podInfoOnMount). Default: false.')),
  podCgroups: v.nullish(
    described(
      v.boolean(),
      'Whether each consumer runs in a cgroup with the path that a kubelet gives it, which has the uid of its pod. For drivers that look pods up in /proc/PID/cgroup. Default: false.',
    ),
  ),
  helpers: v.nullish(described(v.array(HELPER), 'Programs that run beside the plugin, in the order in which they are started.')),
  container: v.nullish(described(WORDS, "Processes, as ps -o comm shows them, that end with the plugin's container.")),
  fuse: v.nullish(described(v.boolean(), 'Whether its volumes are FUSE mounts. Default: true.')),
  daemon: v.optional(
    described(
      v.string(),
      'The name of the processes that serve FUSE, if the plugin does not. The report shows when they start and end. Failures strike the process that answers, whatever its name.',
    ),
  ),
  shield: v.optional(
    described(SHIELD, 'Adds the mitigation shield. daemon has to be there: it names the processes behind the shield.'),
  ),
  logs: v.nullish(
    described(
      v.array(v.string()),
      'Log files of the driver, by absolute paths; * stands for any part of a name. What is added to them in a cell is kept with what the driver prints.',
    ),
  ),
  prepare: v.optional(described(v.string(), `A shell line that is run on the node before the plugin starts. ${PLACES_IN_SHELL}`)),
  volume: described(VOLUME, 'The volume.'),
  create: v.optional(described(v.nullable(CREATE), 'Has the volume created by CreateVolume, and deleted at the end.')),
  populate: v.optional(
    described(
      v.string(),
      `A shell line with {target} that is run when the volume is published for the first time. ${PLACES_IN_SHELL}`,
    ),
  ),
  stored: v.optional(
    described(
      v.string(),
      'The folder of the node in which the storage keeps the files of the volume, an absolute path. The lab looks there at the end for what a consumer wrote beside file.',
    ),
  ),
  file: described(v.string(), 'The file that consumers read, below the volume.'),
  content: described(v.string(), 'What it holds, byte for byte.'),
})

export type DriverFile = v.InferOutput<typeof DRIVER_FILE>
