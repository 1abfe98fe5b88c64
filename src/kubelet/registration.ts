import { readdirSync, unlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { messageOf, ProgramError } from '../errors.ts'
import { GrpcServer, type ServerLimits } from '../grpc/server.ts'
import type { UnaryHandlers, UnaryInterceptor } from '../grpc/service.ts'
import type { Logger } from '../log.ts'
import { Backoff, type BackoffLimits } from '../os/backoff.ts'
import type { Libc } from '../os/libc.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { ListeningSocket } from '../os/sockets/listening-socket.ts'
import { claimSocket, willListen } from '../os/sockets/unix-socket.ts'
import { Registration } from '../rpc/pluginregistration_pb.ts'
import { PluginsFolder } from './plugins-folder.ts'
import type { RegistrationRecord } from './registration-record.ts'
import type { RegistrationState } from './registration-state.ts'
import { isSocketOf, MOST_SOCKETS, socketName } from './socket-name.ts'

/** The type by which the kubelet knows a CSI plugin (k8s.io/kubelet, pkg/apis/pluginregistration/v1/constants.go). */
const CSI_PLUGIN = 'CSIPlugin'

/** The kubelet takes 0.x and 1.x (pkg/volume/csi/csi_plugin.go, highestSupportedVersion). */
const SUPPORTED_VERSIONS = ['1.0.0']

/** What a user can do other than free the path of a socket in the folder. */
const INSTEAD = 'leave out --kubelet-registration-dir'

/** The times of a registration, in milliseconds. */
export interface RegistrationLimits {
  /** After which a kubelet that has not asked is a warning. */
  readonly unasked: number
  /** Between two looks at the folder. */
  readonly look: number
  /** From a refusal to a socket of another name. */
  readonly rename: BackoffLimits
  /** From a new socket by which the kubelet does not ask to one of another name: it may still wait because of a former plugin's socket of that name. */
  readonly overlooked: BackoffLimits
}

/** The dependencies of {@link KubeletRegistration}. */
export interface RegistrationParts {
  readonly libc: Libc
  /** The kubelet's folder `plugins_registry`. */
  readonly folder: string
  /** The name of the driver, by CSI's GetPluginInfo. */
  readonly driverName: string
  /** The path of the plugin's CSI socket as the kubelet sees it. */
  readonly endpoint: string
  readonly limits: RegistrationLimits
  readonly server: ServerLimits
  readonly intercept: UnaryInterceptor
  /** Holds each state for `status`, until the registration is closed. */
  readonly record: RegistrationRecord
  /** Called with each state, the first included. */
  readonly onChange: (state: RegistrationState) => void
  readonly log: Logger
}

/** A socket in the kubelet's folder, and the server on it. */
interface Served {
  readonly path: string
  readonly server: GrpcServer
}

/**
 * Registers the plugin with the kubelet, in place of a registrar beside it: serves pluginregistration.Registration on a socket in the kubelet's folder
 * plugins_registry, until the plugin ends. The kubelet finds the socket (inotify, and a walk at its start), asks GetInfo, and answers by
 * NotifyRegistrationStatus (pkg/kubelet/pluginmanager). After a refusal the plugin goes on. The kubelet tries a path again after up to two minutes,
 * but a new name at once, so the socket gets a new name.
 */
export class KubeletRegistration {
  readonly #parts: RegistrationParts
  readonly #rateLimitedLog: RateLimitedLog
  /** Of names that were refused, and of those that the kubelet did not ask by. */
  readonly #refused: Backoff
  readonly #overlooked: Backoff
  readonly #timers = new Set<NodeJS.Timeout>()
  #folder: PluginsFolder | undefined
  #served: Served | undefined
  #state: RegistrationState = { kind: 'waiting' }
  /** The last refusal, which holds until the kubelet has registered the plugin: that it asks again does not say that the cause is gone. */
  #refusal: RegistrationState | undefined
  #names = 0
  #rename: NodeJS.Timeout | undefined
  #ended = false

  constructor(parts: RegistrationParts) {
    this.#parts = parts
    this.#rateLimitedLog = new RateLimitedLog(parts.log)
    this.#refused = new Backoff(parts.limits.rename)
    this.#overlooked = new Backoff(parts.limits.overlooked)
  }

  /** Why the kubelet does not use the plugin, as far as it is known, in words; undefined if it does, or may soon. */
  get unavailableReason(): string | undefined {
    switch (this.#state.kind) {
      case 'refused':
        return `the kubelet refuses to register the plugin: ${this.#state.error}`
      case 'unseen':
      case 'lost':
        return this.#state.reason
      case 'waiting':
      case 'asked':
      case 'registered':
        return undefined
    }
  }

  /** Why the plugin is not registered now, in words; undefined if it is. */
  get unregisteredReason(): string | undefined {
    const { driverName } = this.#parts
    return (
      this.unavailableReason ?? (this.#state.kind === 'registered' ? undefined : `the kubelet has not registered ${driverName} yet`)
    )
  }

  /** Makes the folder if it is missing, removes sockets of this driver on which nobody listens, and serves. Rejects with ProgramError, status 1. */
  async begin(): Promise<void> {
    const { folder, limits, log } = this.#parts
    try {
      this.#folder = new PluginsFolder(folder)
      await this.#removeDead()
      this.#served = await this.#serve()
    } catch (error) {
      if (error instanceof ProgramError) throw error
      throw new ProgramError(
        `cannot register with the kubelet in ${folder}: ${messageOf(error)}; repair the folder, or name another with --kubelet-registration-dir`,
        1,
        { cause: error },
      )
    }
    log.info(`Waiting for the kubelet to register ${this.#parts.driverName} by ${this.#served.path}`)
    this.#become({ kind: 'waiting' })
    this.#renameAfter(this.#overlooked)
    const unasked = setTimeout(() => {
      if (this.#state.kind !== 'waiting') return
      log.warning(
        `no kubelet has asked for the plugin at ${folder} for ${limits.unasked / 1000} s; start the kubelet, or name its folder plugins_registry with --kubelet-registration-dir`,
      )
    }, limits.unasked)
    this.#timers.add(unasked.unref())
    this.#timers.add(setInterval(() => this.#look(), limits.look).unref())
  }

  /** Removes the socket, upon which the kubelet deregisters the driver. */
  async close(): Promise<void> {
    this.#ended = true
    clearTimeout(this.#rename)
    for (const timer of this.#timers) clearInterval(timer)
    this.#folder?.[Symbol.dispose]()
    await this.#served?.server.close()
    this.#parts.record.remove()
  }

  /** Removes the sockets that a killed plugin of this driver left, by whichever of their names. */
  async #removeDead(): Promise<void> {
    const { folder, driverName } = this.#parts
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const { name } = entry
      if (!entry.isSocket() || !isSocketOf(driverName, name)) continue
      const path = join(folder, name)
      if (await willListen(path))
        throw new ProgramError(
          `another process registers ${driverName} with the kubelet by ${path}; stop it (no registrar is needed beside the plugin), or leave out --kubelet-registration-dir`,
          1,
        )
      unlinkSync(path)
      this.#parts.log.info(`Removed ${path}, on which nobody listens`)
    }
  }

  async #serve(): Promise<Served> {
    const { libc, folder, driverName, server: limits, intercept, log } = this.#parts
    const path = join(folder, socketName(driverName, this.#names++ % MOST_SOCKETS))
    await claimSocket(path, INSTEAD)
    const loss = { instead: INSTEAD, onLost: (problem: string) => this.#lost(problem), onRenewed: () => this.#renewed() }
    const socket = await ListeningSocket.open(libc, path, log, loss)
    const server = new GrpcServer([{ service: Registration, handlers: this.#handlers() }], intercept, limits, log)
    server.serve(socket)
    return { path, server }
  }

  #handlers(): UnaryHandlers<typeof Registration> {
    const { driverName, endpoint } = this.#parts
    return {
      getInfo: () => {
        // It tries by itself.
        clearTimeout(this.#rename)
        this.#folder?.seen()
        this.#become(this.#refusal ?? { kind: 'asked' })
        return { type: CSI_PLUGIN, name: driverName, endpoint, supportedVersions: SUPPORTED_VERSIONS }
      },
      notifyRegistrationStatus: ({ pluginRegistered, error }) => {
        // It asked by the socket that is lost since, upon which it deregisters the driver.
        if (this.#state.kind === 'lost') return {}
        if (pluginRegistered) this.#registered()
        else this.#refusedWith(error)
        return {}
      },
    }
  }

  #registered(): void {
    clearTimeout(this.#rename)
    for (const backoff of [this.#refused, this.#overlooked]) backoff.reset()
    this.#parts.log.info(`The kubelet has registered ${this.#parts.driverName} with the endpoint ${this.#parts.endpoint}`)
    this.#refusal = undefined
    this.#become({ kind: 'registered' })
  }

  #refusedWith(error: string): void {
    const { driverName, endpoint } = this.#parts
    this.#rateLimitedLog.warning(
      'refused',
      `the kubelet refused to register ${driverName} with the endpoint ${endpoint}: ${error}; the plugin serves on, and the kubelet is asked again`,
    )
    this.#refusal = { kind: 'refused', error }
    this.#become(this.#refusal)
    this.#renameAfter(this.#refused)
  }

  /** The kubelet has deregistered the driver, and asks by the new socket unless it waits because of the former one. */
  #renewed(): void {
    if (this.#ended) return
    if (this.#state.kind !== 'unseen') this.#become(this.#refusal ?? { kind: 'waiting' })
    this.#renameAfter(this.#overlooked)
  }

  /** A kubelet that sees no socket at all needs its restart first, and that stays the reason. */
  #lost(problem: string): void {
    if (this.#ended) return
    const reason = `the kubelet does not reach ${this.#parts.driverName} by its socket: ${problem}`
    this.#rateLimitedLog.warning('lost', reason)
    if (this.#state.kind !== 'unseen') this.#become({ kind: 'lost', reason })
    this.#anotherName(this.#refused)
  }

  /** The delay grows with each name, not with each attempt of the kubelet, which tries a name again by itself, more and more rarely. */
  #renameAfter(why: Backoff): void {
    clearTimeout(this.#rename)
    if (this.#ended) return
    const rename = (): void => {
      // A kubelet that does not see the folder sees no other name.
      if (this.#state.kind === 'unseen') {
        this.#renameAfter(why)
        return
      }
      why.next()
      this.#anotherName(why)
    }
    this.#rename = setTimeout(rename, pauseOf(why)).unref()
  }

  /** If it fails, the name after that is tried, after the pause of `why`. */
  #anotherName(why: Backoff): void {
    clearTimeout(this.#rename)
    this.#serve()
      .then(async (served) => {
        const former = this.#served
        this.#served = served
        if (this.#ended) await served.server.close()
        else this.#renameAfter(this.#overlooked)
        this.#parts.log.info(`Asking the kubelet again by ${basename(served.path)}: it tries a new name at once`)
        await former?.server.close()
      })
      .catch((error: unknown) => {
        this.#rateLimitedLog.warning(
          'rename',
          `cannot make another socket for the kubelet in ${this.#parts.folder}: ${messageOf(error)}; the next name is tried in ${pauseOf(why) / 1000} s`,
        )
        this.#renameAfter(why)
      })
  }

  #look(): void {
    const reason = this.#folder?.unseen()
    const said = this.#state.kind === 'unseen' ? this.#state.reason : undefined
    if (reason === said) return
    if (reason === undefined) {
      this.#become(this.#refusal ?? { kind: 'waiting' })
      return
    }
    this.#parts.log.warning(reason)
    this.#become({ kind: 'unseen', reason })
  }

  #become(state: RegistrationState): void {
    if (state === this.#state) return
    this.#state = state
    if (this.#ended) return
    this.#parts.record.write(state)
    this.#parts.onChange(state)
  }
}

/** Milliseconds until another name is tried. */
function pauseOf(why: Backoff): number {
  return why.after(why.failures + 1)
}
