import { connectionOf } from '../../os/mounts/fuse-connections.ts'
import type { Libc } from '../../os/libc.ts'
import { deviceOf, type MountTable } from '../../os/mounts/mount-table.ts'
import { OwnMount } from '../../os/mounts/own-mount.ts'
import type { Backend, Session, SessionEnd } from '../backend.ts'
import type { RunningSession, SessionRunner } from './attached-session.ts'
import { mountSession } from './mounting.ts'
import { initLine } from './trace.ts'

/** The dependencies of {@link SessionBackend}. */
export interface SessionBackendParts {
  readonly runner: SessionRunner & { close(): void }
  readonly libc: Libc
  readonly table: MountTable
  /** Faults to inject, checked. */
  readonly faults: readonly string[]
  /** Never answer INIT: an injected fault. */
  readonly holdInit: boolean
}

/** Mounts by fsmount(2) or mount(2), and serves the session in this program. */
export class SessionBackend implements Backend {
  readonly #parts: SessionBackendParts
  #count = 0

  constructor(parts: SessionBackendParts) {
    this.#parts = parts
  }

  async mount(mountpoint: string, options: readonly string[], signal: AbortSignal): Promise<Session> {
    const { runner, libc, table, faults, holdInit } = this.#parts
    const id = String(++this.#count)
    const time = { signal, remaining: () => (signal.aborted ? 0 : Infinity) }
    const running = await mountSession(libc, runner, { id, mountpoint, options, faults, holdInit, time })
    const mount = new OwnMount(mountpoint, table, libc, superBlockOf(running))
    return new MountedSession(running, mount, initLine(await running.initialised))
  }

  close(): void {
    this.#parts.runner.close()
  }
}

/** Undefined where the kernel does not tell, and for a session that has ended meanwhile, whose descriptor is closed. */
function superBlockOf({ fd }: RunningSession): string | undefined {
  try {
    const connection = connectionOf(fd)
    return connection === undefined ? undefined : deviceOf(connection)
  } catch {
    return undefined
  }
}

class MountedSession implements Session {
  readonly negotiated: string
  readonly ended: Promise<SessionEnd>
  readonly #mount: OwnMount

  constructor(running: RunningSession, mount: OwnMount, negotiated: string) {
    this.negotiated = negotiated
    this.#mount = mount
    this.ended = running.ended.then(() => (mount.there ? 'aborted' : 'unmounted'))
  }

  close(): void {
    this.#mount.detach()
  }
}
