/** A volume's capability, as far as it makes a difference. */
export interface Capability {
  readonly accessMode: 'MULTI_NODE_READER_ONLY' | 'SINGLE_NODE_WRITER'
  readonly mountFlags: readonly string[]
}

/**
 * A FUSE session. Two of them are two objects. `dead`: its mounts answer ENOTCONN; `gone`: so do its targets, and a new dummy-fused has taken
 * its mount off the staging path (docs/fused.md).
 */
export interface Session {
  state: 'alive' | 'dead' | 'gone'
}

/** A volume that is staged at a path, and the session that stands there; undefined if nothing does. */
export interface Staged {
  readonly volume: string
  readonly capability: Capability
  readonly session: Session
}

/** A volume that is published at a path, and the session that the target is bound to. */
export interface Published {
  readonly volume: string
  readonly staging: string
  readonly readonly: boolean
  readonly capability: Capability
  readonly session: Session
}

/** Arguments of NodePublishVolume. */
export interface PublishCall {
  readonly volume: string
  readonly staging: string
  readonly target: string
  readonly readonly: boolean
  readonly capability: Capability
}

/** A gRPC code that a call is to end with. */
export type Code = 'OK' | 'INVALID_ARGUMENT' | 'NOT_FOUND' | 'ALREADY_EXISTS' | 'FAILED_PRECONDITION' | 'UNAVAILABLE'

/**
 * What a node plugin is to answer, and what is to stand in the mount table afterwards, by the CSI spec's error tables and docs/architecture.md.
 * Each method changes the model as the call changes the node, and tells its code.
 */
export class Model {
  readonly staged = new Map<string, Staged>()
  readonly published = new Map<string, Published>()
  /** Whether a session outlives the plugin. */
  readonly #outlives: boolean
  /** Whether one daemon serves all sessions: one that is started anew takes off what its predecessor had mounted. */
  readonly #shared: boolean

  constructor(outlivesPlugin: boolean, shared: boolean) {
    this.#outlives = outlivesPlugin
    this.#shared = shared
  }

  /** A model in the same state, with the same sessions, to be changed without this one. */
  copy(): Model {
    const copy = new Model(this.#outlives, this.#shared)
    copy.become(this)
    return copy
  }

  /** Takes over the state of another model. */
  become({ staged, published }: Model): void {
    const [allStaged, allPublished] = [[...staged], [...published]]
    this.staged.clear()
    this.published.clear()
    for (const [path, entry] of allStaged) this.staged.set(path, entry)
    for (const [path, entry] of allPublished) this.published.set(path, entry)
  }

  stage(volume: string, path: string, capability: Capability): Code {
    if (this.published.has(path)) return 'FAILED_PRECONDITION'
    const known = this.staged.get(path)
    if (known !== undefined && known.volume !== volume) return 'FAILED_PRECONDITION'
    if (known?.session.state === 'alive') return same(known.capability, capability) ? 'OK' : 'ALREADY_EXISTS'
    this.staged.set(path, { volume, capability, session: this.#mounted() })
    return 'OK'
  }

  publish({ volume, staging, target, readonly, capability }: PublishCall): Code {
    if (staging === target) return 'INVALID_ARGUMENT'
    if (this.staged.has(target)) return 'FAILED_PRECONDITION'
    const known = this.published.get(target)
    if (known !== undefined && known.volume !== volume) return 'FAILED_PRECONDITION'
    if (known !== undefined && (known.readonly !== readonly || !same(known.capability, capability))) return 'ALREADY_EXISTS'
    const elsewhere = [...this.published].some(([path, one]) => one.volume === volume && path !== target)
    if (elsewhere && capability.accessMode === 'SINGLE_NODE_WRITER') return 'FAILED_PRECONDITION'
    if (this.published.has(staging)) return 'FAILED_PRECONDITION'
    const staged = this.staged.get(staging)
    if (staged !== undefined && staged.volume !== volume) return 'FAILED_PRECONDITION'
    const session = staged?.session.state === 'alive' ? staged.session : this.#mounted()
    this.staged.set(staging, { volume, capability: staged?.capability ?? capability, session })
    this.published.set(target, { volume, staging, readonly, capability, session })
    return 'OK'
  }

  /** NodePublishVolume of an inline ephemeral volume, which has a place of its own. */
  publishEphemeral({ volume, ...rest }: Omit<PublishCall, 'staging'>): Code {
    const staging = placeOf(volume)
    const code = this.publish({ volume, staging, ...rest })
    if (code !== 'OK') this.#endEphemeral(volume)
    return code
  }

  unpublish(volume: string, target: string): Code {
    if (this.staged.has(target)) return 'FAILED_PRECONDITION'
    const known = this.published.get(target)
    if (known !== undefined && known.volume !== volume) return 'FAILED_PRECONDITION'
    this.published.delete(target)
    this.#endEphemeral(volume)
    return 'OK'
  }

  /** The session of an inline ephemeral volume ends with its last target. */
  #endEphemeral(volume: string): void {
    if (![...this.published.values()].some((one) => one.volume === volume)) this.staged.delete(placeOf(volume))
  }

  unstage(volume: string, path: string): Code {
    if (this.published.has(path)) return 'FAILED_PRECONDITION'
    const known = this.staged.get(path)
    if (known !== undefined && known.volume !== volume) return 'FAILED_PRECONDITION'
    if ([...this.published.values()].some((one) => one.volume === volume && one.staging === path)) return 'FAILED_PRECONDITION'
    this.staged.delete(path)
    return 'OK'
  }

  /** NodeGetVolumeStats. */
  stats(volume: string, path: string): Code {
    const known = this.staged.get(path) ?? this.published.get(path)
    if (known?.volume !== volume) return 'NOT_FOUND'
    if (known.session.state === 'gone' && this.staged.has(path)) return 'NOT_FOUND'
    return known.session.state === 'alive' ? 'OK' : 'UNAVAILABLE'
  }

  /** NodeGetVolumeHealth: the reasons of its findings, sorted, or the code it ends with. */
  health(volume: string): readonly string[] | 'NOT_FOUND' {
    const staged = [...this.staged.values()].filter((one) => one.volume === volume)
    const published = [...this.published.values()].filter((one) => one.volume === volume)
    if (staged.length + published.length === 0) return 'NOT_FOUND'
    const reasons = new Set<string>()
    for (const { session } of staged) {
      if (session.state === 'dead') reasons.add('DaemonDead')
      if (session.state === 'gone') reasons.add('StagingNotMounted')
    }
    for (const { staging, session } of published) {
      if (session.state === 'gone' || this.staged.get(staging)?.session !== session) reasons.add('StaleBind')
    }
    return [...reasons].sort()
  }

  /** The daemon of a staging path is gone, and with it the session. */
  daemonDies(path: string): void {
    const staged = this.staged.get(path)
    if (staged?.session.state === 'alive') staged.session.state = 'dead'
  }

  /** The daemon of all staging paths is gone. */
  everyDaemonDies(): void {
    for (const path of this.staged.keys()) this.daemonDies(path)
  }

  /** The plugin is gone, and another one has restored what it should. */
  pluginRestarts(): void {
    if (!this.#outlives) this.everyDaemonDies()
    for (const [path, entry] of this.staged) {
      if (entry.session.state !== 'alive') this.staged.set(path, { ...entry, session: { state: 'alive' } })
    }
    for (const [path, entry] of this.published) {
      const session = this.staged.get(entry.staging)?.session
      if (session !== undefined) this.published.set(path, { ...entry, session })
    }
  }

  /** A new session, for which a shared daemon runs. */
  #mounted(): Session {
    if (this.#shared) {
      for (const { session } of this.staged.values()) if (session.state === 'dead') session.state = 'gone'
    }
    return { state: 'alive' }
  }
}

/** The model's name for the staging path of an inline ephemeral volume. */
export function placeOf(volume: string): string {
  return `place of ${volume}`
}

function same(one: Capability, other: Capability): boolean {
  return one.accessMode === other.accessMode && one.mountFlags.join() === other.mountFlags.join()
}
