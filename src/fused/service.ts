import { posix } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { UnaryHandlers } from '../grpc/service.ts'
import { type DaemonSchema, type Fused, Session_State, type SessionSchema } from '../rpc/fused_pb.ts'
import type { FusedDaemon } from './daemon.ts'
import { FusedError } from './errors.ts'
import type { MountOrder } from './mounter.ts'
import { type HostedSession, idOf, type Sessions } from './sessions.ts'

/** The dependencies of {@link fusedService}. */
export interface FusedServiceParts {
  readonly daemon: Pick<FusedDaemon, 'mount' | 'unmount' | 'list' | 'inspect'> & {
    readonly sessions: Pick<Sessions, 'all' | 'ended'>
  }
  readonly self: MessageInitShape<typeof DaemonSchema>
  /** Checks mount options and faults. Throws an Error whose message is for the caller. */
  readonly checked: (options: readonly string[], faults: readonly string[]) => Pick<MountOrder, 'options' | 'faults' | 'fault'>
  /** Called once Drain has been answered. */
  readonly onDrain: () => void
}

/** dummyfuse.fused.v1.Fused, see proto/fused.proto. */
export function fusedService({ daemon, self, checked, onDrain }: FusedServiceParts): UnaryHandlers<typeof Fused> {
  // Read before the sessions are: the next answer tells a session that ends in between.
  const described = (): MessageInitShape<typeof DaemonSchema> => ({ ...self, ended: daemon.sessions.ended })
  return {
    mount: async ({ path, options, faults }, call) => {
      const answering = described()
      const session = await daemon.mount({ path: absolute(path), ...check(() => checked(options, faults)) }, call)
      return { session: describe(session), daemon: answering }
    },
    unmount: async ({ path, graceMs }, call) => ({ wasMounted: await daemon.unmount(absolute(path), graceMs, call) }),
    list: async ({ paths }, call) => {
      const answering = described()
      return { daemon: answering, sessions: (await daemon.list(paths.map(absolute), call)).map(describe) }
    },
    inspect: async ({ path }, call) => {
      const answering = described()
      const { session, inspection } = await daemon.inspect(absolute(path), call)
      const counts = Object.entries(inspection?.counts ?? {}).map(([opcode, count]) => [opcode, BigInt(count)])
      const requests = Object.fromEntries(counts) as Record<string, bigint>
      return { daemon: answering, session: describe(session), requests, pending: BigInt(inspection?.pending ?? 0) }
    },
    drain: () => {
      if (self.keptBy === 'none')
        throw new FusedError(
          'precondition',
          'no service manager keeps its descriptors; run it under systemd or dummy-fuse-csi keep',
        )
      setImmediate(onDrain)
      return { sessions: daemon.sessions.all().length }
    },
  }
}

function describe(session: HostedSession): MessageInitShape<typeof SessionSchema> {
  const { record } = session
  return {
    id: idOf(session),
    path: record?.path ?? '',
    connection: record?.connection ?? 0,
    options: [...(record?.options ?? [])],
    state: session.kind === 'served' ? Session_State.SERVED : Session_State.HELD,
    reason: session.kind === 'held' ? session.why : '',
  }
}

/** The path as sessions have it: without a slash at its end, `..` or `//`. */
function absolute(path: string): string {
  if (!path.startsWith('/')) throw new FusedError('invalid', `path '${path}' is not absolute; name one, such as /mnt`)
  if (path.includes('\0')) throw new FusedError('invalid', 'path holds a NUL; name a path of the file system')
  return posix.resolve(path)
}

function check<T>(act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new FusedError('invalid', error instanceof Error ? error.message : String(error), { cause: error })
  }
}
