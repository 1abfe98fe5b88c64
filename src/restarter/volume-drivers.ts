import { object, optional, string } from 'valibot'
import type { ApiServer } from '../kubernetes/api-server.ts'
import { checked } from '../schema.ts'
import type { Pod } from './pod.ts'

const CLAIM = object({ spec: object({ volumeName: optional(string(), '') }) })
const VOLUME = object({ spec: object({ csi: optional(object({ driver: string() })) }) })

/** Finds the CSI drivers of pods' volumes: pod.spec.volumes, PersistentVolumeClaim, PersistentVolume. */
export class VolumeDrivers {
  readonly #api: ApiServer
  /** By the pod's uid and the volume's name. A claim that a pod uses keeps its volume. */
  readonly #known = new Map<string, ReadonlyMap<string, string>>()

  constructor(api: ApiServer) {
    this.#api = api
  }

  /** The driver that {@link find} has found. */
  of({ uid }: Pod, volume: string): string | undefined {
    return this.#known.get(uid)?.get(volume)
  }

  /** Looks for the drivers of a pod's inaccessible volumes. Rejects with ApiError; a claim or volume that is not there has none. */
  async find(pod: Pod, signal: AbortSignal): Promise<void> {
    const known = this.#known.get(pod.uid)
    if (pod.inaccessible.every(({ name }) => known?.has(name))) return
    const found = new Map(known)
    for (const { name } of pod.inaccessible) {
      const driver = found.get(name) ?? (await this.#driverOf(pod, name, signal))
      if (driver !== undefined) found.set(name, driver)
    }
    this.#known.set(pod.uid, found)
  }

  /** Forgets the pods that are no more. */
  keep(isThere: (uid: string) => boolean): void {
    for (const uid of this.#known.keys()) if (!isThere(uid)) this.#known.delete(uid)
  }

  async #driverOf({ namespace, claims }: Pod, name: string, signal: AbortSignal): Promise<string | undefined> {
    const claimName = claims.get(name)
    if (claimName === undefined) return undefined
    const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/persistentvolumeclaims`
    const claim = await this.#api.find(`${collection}/${encodeURIComponent(claimName)}`, { signal })
    if (claim === undefined) return undefined
    const { volumeName } = checked(CLAIM, claim).spec
    if (volumeName === '') return undefined
    const volume = await this.#api.find(`/api/v1/persistentvolumes/${encodeURIComponent(volumeName)}`, { signal })
    return volume === undefined ? undefined : checked(VOLUME, volume).spec.csi?.driver
  }
}
