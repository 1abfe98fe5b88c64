/** A volume's capability, as far as it makes a difference. */
export interface Capability {
  readonly accessMode: 'MULTI_NODE_READER_ONLY' | 'SINGLE_NODE_WRITER'
  readonly mountFlags: readonly string[]
}

/** A FUSE session. Two of them are two objects. */
export interface Session {
  alive: boolean
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

  constructor(outlivesPlugin: boolean) {
    this.#outlives = outlivesPlugin
  }

  /** A model in the same state, with the same sessions, to be changed without this one. */
  copy(): Model {
    const copy = new Model(this.#outlives)
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
    if (known?.session.alive === true) return same(known.capability, capability) ? 'OK' : 'ALREADY_EXISTS'
    this.staged.set(path, { volume, capability, session: { alive: true } })
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
    const session = staged?.session.alive === true ? staged.session : { alive: true }
    this.staged.set(staging, { volume, capability: staged?.capability ?? capability, session })
    this.published.set(target, { volume, staging, readonly, capability, session })
    return 'OK'
  }

  unpublish(volume: string, target: string): Code {
    if (this.staged.has(target)) return 'FAILED_PRECONDITION'
    const known = this.published.get(target)
    if (known !== undefined && known.volume !== volume) return 'FAILED_PRECONDITION'
    this.published.delete(target)
    return 'OK'
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
    return known.session.alive ? 'OK' : 'UNAVAILABLE'
  }

  /** NodeGetVolumeHealth: the reasons of its findings, sorted, or the code it ends with. */
  health(volume: string): readonly string[] | 'NOT_FOUND' {
    const staged = [...this.staged.values()].filter((one) => one.volume === volume)
    const published = [...this.published.values()].filter((one) => one.volume === volume)
    if (staged.length + published.length === 0) return 'NOT_FOUND'
    const dead = staged.some(({ session }) => !session.alive)
    const stale = published.some(({ staging, session }) => this.staged.get(staging)?.session !== session)
    return [...(dead ? ['DaemonDead'] : []), ...(stale ? ['StaleBind'] : [])]
  }

  /** The daemon of a staging path is gone, and with it the session. */
  daemonDies(path: string): void {
    const staged = this.staged.get(path)
    if (staged !== undefined) staged.session.alive = false
  }

  /** The plugin is gone, and another one has restored what it should. */
  pluginRestarts(): void {
    if (!this.#outlives) for (const { session } of this.staged.values()) session.alive = false
    for (const [path, entry] of this.staged) {
      if (!entry.session.alive) this.staged.set(path, { ...entry, session: { alive: true } })
    }
    for (const [path, entry] of this.published) {
      const session = this.staged.get(entry.staging)?.session
      if (session !== undefined) this.published.set(path, { ...entry, session })
    }
  }
}

function same(one: Capability, other: Capability): boolean {
  return one.accessMode === other.accessMode && one.mountFlags.join() === other.mountFlags.join()
}
