import type { Backend } from '../../fuse/backend.ts'
import { PROTOCOL } from '../../fuse/protocol/constants.ts'
import { SessionBackend } from '../../fuse/session/backend.ts'
import { MainThreadServer } from '../../fuse/session/main-thread.ts'
import { type Libc } from '../../os/libc.ts'
import { openMountTable } from '../../os/mounts/mount-table.ts'
import { oneLine } from '../../printable.ts'
import { dummyFileSystem } from '../file-systems.ts'
import type { FuseOptions } from './options.ts'

/** The backend that `--backend` names, over the dummy file system with the faults that were asked for. */
export async function openBackend(options: FuseOptions, libc: () => Libc): Promise<Backend> {
  const { initHang } = options.faults
  if (options.backend === 'fuse-native') {
    const { NativeBackend } = await import('../../fuse/native/backend.ts')
    const beforeInit = initHang ? () => new Promise<never>(() => undefined) : () => Promise.resolve()
    return new NativeBackend(
      dummyFileSystem({ faults: options.faultArgs, writable: undefined, inherited: false }),
      libc,
      beforeInit,
    )
  }
  if (options.debug)
    process.stderr.write(
      `FUSE session of protocol ${PROTOCOL.major}.${PROTOCOL.oldestMinor} to ${PROTOCOL.major}.${PROTOCOL.newestMinor}\n`,
    )
  const runner = new MainThreadServer({
    libc: libc(),
    filesystem: dummyFileSystem,
    pollTime: options.pollTime,
    say: (text) => {
      process.stderr.write(`${oneLine(text)}\n`)
    },
  })
  const faults = options.faultArgs
  return new SessionBackend({ runner, libc: libc(), table: openMountTable(libc()), faults, holdInit: initHang })
}
