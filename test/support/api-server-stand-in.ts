import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** An object of the API, as far as this server looks into it. */
export interface ApiObject {
  metadata: {
    name?: string
    namespace?: string
    uid?: string
    resourceVersion?: string
    deletionTimestamp?: string
    [key: string]: unknown
  }
  [key: string]: unknown
}

/** An answer that is a refusal: metav1.Status with these fields. */
export interface Refusal {
  readonly code: number
  readonly message: string
  readonly causes?: readonly string[]
  readonly retryAfter?: number
}

/** A request that was answered, as `METHOD path`, and its body. */
export interface Answered {
  readonly request: string
  readonly body: ApiObject | undefined
}

/**
 * Stands in for an API server of Kubernetes where there is none: keeps objects by their paths, lists and watches pods, refuses a PUT of an old version, and
 * evicts by setting deletionTimestamp. It checks no schema and no right. test/kubernetes has the tests with the real one.
 */
export class ApiServerStandIn implements AsyncDisposable {
  readonly #objects = new Map<string, ApiObject>()
  readonly #changes: { readonly type: string; readonly object: ApiObject }[] = []
  readonly #watchers = new Set<ServerResponse>()
  readonly #sockets = new Set<Socket>()
  readonly answered: Answered[] = []
  /** Called before each eviction; a refusal that it returns is the answer. */
  onEviction: (name: string) => Refusal | undefined = () => undefined
  /** Called before an object is created in a collection; a refusal that it returns is the answer. */
  onCreate: (collection: string, object: ApiObject) => Refusal | undefined = () => undefined
  /** Whether a SelfSubjectAccessReview says that something is allowed. */
  allows: (attributes: Readonly<Record<string, string>>) => boolean = () => true
  /** Whether a watch that asks for bookmarks gets one before its end. */
  bookmarks = true
  /** Requests stay without an answer while it is set. */
  hangs = false
  #version = 1
  /** The version from which on a watch may begin. */
  #oldest = 0
  #server: Server | undefined
  #port = 0

  /** Listens on 127.0.0.1; again on the same port after {@link goAway}. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Closes the port and all connections. */
  async goAway(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) socket.destroy()
    if (server !== undefined) await new Promise((resolve) => server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway()
  }

  /** Writes a kubeconfig for it into a folder, and returns its path. */
  kubeconfig(folder: string): string {
    const path = join(folder, 'kubeconfig')
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'stand-in',
      clusters: [{ name: 'stand-in', cluster: { server: `http://127.0.0.1:${this.#port}`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'admin', user: { token: 'any' } }],
      contexts: [{ name: 'stand-in', context: { cluster: 'stand-in', user: 'admin', namespace: 'default' } }],
    }
    writeFileSync(path, JSON.stringify(config))
    return path
  }

  /** Stores an object under its path with a new version; a watch of pods tells of it. */
  put(path: string, object: ApiObject): ApiObject {
    const isNew = !this.#objects.has(path)
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } }
    this.#objects.set(path, stored)
    if (isPod(path)) this.#changed(isNew ? 'ADDED' : 'MODIFIED', stored)
    return stored
  }

  putPod(object: Record<string, unknown>): void {
    const pod = object as ApiObject
    this.put(`/api/v1/namespaces/${pod.metadata.namespace ?? ''}/pods/${pod.metadata.name ?? ''}`, pod)
  }

  /** A claim in the namespace default, and its volume of a driver. */
  putVolume(driver: string, claim = 'claim'): void {
    const metadata = {}
    this.put(`/api/v1/namespaces/default/persistentvolumeclaims/${claim}`, { metadata, spec: { volumeName: `volume-of-${claim}` } })
    this.put(`/api/v1/persistentvolumes/volume-of-${claim}`, { metadata, spec: { csi: { driver } } })
  }

  /** A node with the drivers that its kubelet knows. */
  putNode(name: string, ready: boolean, drivers: readonly string[]): void {
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }]
    this.put(`/api/v1/nodes/${name}`, { metadata: { name }, status: { conditions } })
    const spec = { drivers: drivers.map((driver) => ({ name: driver })) }
    this.put(`/apis/storage.k8s.io/v1/csinodes/${name}`, { metadata: { name }, spec })
  }

  /** A ReplicaSet `owner` in the namespace default, with the uid that the pods' owner has. */
  putReplicaSet(replicas: number): void {
    this.put('/apis/apps/v1/namespaces/default/replicasets/owner', { metadata: { uid: 'uid-owner' }, spec: { replicas } })
  }

  get(path: string): ApiObject | undefined {
    return this.#objects.get(path)
  }

  delete(path: string): void {
    const object = this.#objects.get(path)
    this.#objects.delete(path)
    if (object === undefined || !isPod(path)) return
    this.#changed('DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } })
  }

  /** Ends the watches, and answers those of older versions 410 from now on. */
  forgetHistory(): void {
    this.#changes.length = 0
    this.#oldest = ++this.#version
    for (const watcher of this.#watchers) watcher.end()
    this.#watchers.clear()
  }

  /** The bodies of the events that were written, oldest first. */
  get events(): readonly ApiObject[] {
    return this.answered.flatMap(({ request, body }) => (/^POST .*\/events$/.test(request) && body !== undefined ? [body] : []))
  }

  /** The names of the pods whose eviction was asked for, oldest first. */
  get evictions(): readonly string[] {
    return this.answered.flatMap(({ request }) => /^POST .*\/pods\/([^/]+)\/eviction$/.exec(request)?.[1] ?? [])
  }

  #changed(type: string, object: ApiObject): void {
    this.#changes.push({ type, object })
    for (const watcher of this.#watchers) watcher.write(`${JSON.stringify({ type, object })}\n`)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    if (this.hangs) return
    const url = new URL(request.url ?? '', 'http://any')
    const { pathname, searchParams } = url
    const { method = 'GET' } = request
    const object = body === '' ? undefined : (JSON.parse(body) as ApiObject)
    if (method === 'GET' && searchParams.has('watch')) this.#watch(searchParams, response)
    else if (method === 'GET' && pathname.endsWith('/pods')) this.#list(pathname, searchParams, response)
    else if (method === 'GET' && COLLECTION.test(pathname)) this.#listAll(pathname, searchParams, response)
    else if (method === 'GET') reply(response, this.#objects.get(pathname) ?? NOT_FOUND)
    else if (method === 'DELETE') reply(response, this.#remove(pathname))
    else if (pathname.endsWith('/selfsubjectaccessreviews')) reply(response, this.#review(object))
    else if (pathname.endsWith('/eviction')) reply(response, this.#evict(pathname.slice(0, -'/eviction'.length), object))
    else if (method === 'POST') reply(response, this.#create(pathname, object))
    else reply(response, this.#replace(pathname, object))
    this.answered.push({ request: `${method} ${pathname}`, body: object })
  }

  #watch(query: URLSearchParams, response: ServerResponse): void {
    const version = Number(query.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    if (version < this.#oldest) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { code: 410, message: 'too old resource version' } })}\n`)
      return
    }
    const missed = this.#changes.filter(({ object }) => Number(object.metadata.resourceVersion) > version)
    for (const change of missed) response.write(`${JSON.stringify(change)}\n`)
    this.#watchers.add(response)
    const end = setTimeout(
      () => {
        const object = { metadata: { resourceVersion: String(this.#version) } }
        if (this.bookmarks) response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`)
        response.end()
      },
      Number(query.get('timeoutSeconds') ?? 1800) * 1000,
    )
    response.once('close', () => {
      clearTimeout(end)
      this.#watchers.delete(response)
    })
  }

  #list(path: string, query: URLSearchParams, response: ServerResponse): void {
    const prefix = path === '/api/v1/pods' ? '/api/v1/namespaces/' : `${path}/`
    const name = query.get('fieldSelector')?.replace('metadata.name=', '')
    const items = [...this.#objects]
      .filter(([key]) => isPod(key) && key.startsWith(prefix))
      .map(([, object]) => object)
      .filter(({ metadata }) => name === undefined || metadata.name === name)
    reply(response, { metadata: { resourceVersion: String(this.#version) }, items })
  }

  /** Objects of any other kind than pods, by equal labels. */
  #listAll(path: string, query: URLSearchParams, response: ServerResponse): void {
    const wanted = (query.get('labelSelector') ?? '').split(',').filter((one) => one !== '')
    const labelsOf = ({ metadata }: ApiObject): Readonly<Record<string, string>> =>
      (metadata.labels ?? {}) as Record<string, string>
    const items = [...this.#objects]
      .filter(([key]) => key.startsWith(`${path}/`) && !key.slice(path.length + 1).includes('/'))
      .map(([, object]) => object)
      .filter((object) => wanted.every((one) => labelsOf(object)[one.split('=')[0] ?? ''] === one.split('=')[1]))
    reply(response, { metadata: { resourceVersion: String(this.#version) }, items })
  }

  #remove(path: string): ApiObject | Refusal {
    const object = this.#objects.get(path)
    this.delete(path)
    return object ?? NOT_FOUND
  }

  #review(review: ApiObject | undefined): ApiObject {
    const { resourceAttributes } = review?.spec as { resourceAttributes: Readonly<Record<string, string>> }
    return { metadata: {}, status: { allowed: this.allows(resourceAttributes) } }
  }

  #create(collection: string, object: ApiObject | undefined): ApiObject | Refusal {
    const { name = '' } = object?.metadata ?? {}
    const refusal = object === undefined ? undefined : this.onCreate(collection, object)
    if (refusal !== undefined) return refusal
    if (!DNS_SUBDOMAIN.test(name)) return { code: 422, message: `metadata.name: Invalid value: "${name}"` }
    const path = `${collection}/${name}`
    if (this.#objects.has(path)) return { code: 409, message: 'already exists' }
    return this.put(path, { ...object, metadata: { uid: `uid-${name}`, ...object?.metadata } })
  }

  #replace(path: string, object: ApiObject | undefined): ApiObject | Refusal {
    const old = this.#objects.get(path)
    if (old === undefined || object === undefined) return NOT_FOUND
    if (old.metadata.resourceVersion !== object.metadata.resourceVersion)
      return { code: 409, message: 'the object has been modified' }
    return this.put(path, object)
  }

  #evict(path: string, eviction: ApiObject | undefined): ApiObject | Refusal {
    const pod = this.#objects.get(path)
    if (pod === undefined) return NOT_FOUND
    const refusal = this.onEviction(pod.metadata.name ?? '')
    if (refusal !== undefined) return refusal
    const { preconditions } = (eviction?.deleteOptions ?? {}) as { preconditions?: { uid?: string; resourceVersion?: string } }
    const { uid, resourceVersion } = this.#objects.get(path)?.metadata ?? {}
    if (preconditions?.uid !== uid || preconditions?.resourceVersion !== resourceVersion)
      return { code: 409, message: 'the precondition does not match' }
    const deletionTimestamp = new Date(Date.now() + 30_000).toISOString().replace(/\.\d+/, '')
    this.put(path, { ...pod, metadata: { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: 30 } })
    return { metadata: {}, kind: 'Status', status: 'Success' }
  }
}

/** RFC 1123. */
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/** A list of objects that are not pods. */
const COLLECTION = /\/(nodes|namespaces|persistentvolumes|csidrivers|events)$/

const NOT_FOUND: Refusal = { code: 404, message: 'not found' }

function isPod(path: string): boolean {
  return /\/namespaces\/[^/]+\/pods\/[^/]+$/.test(path)
}

function reply(response: ServerResponse, answer: object): void {
  const refusal = 'code' in answer ? (answer as Refusal) : undefined
  const status =
    refusal === undefined
      ? answer
      : {
          kind: 'Status',
          status: 'Failure',
          message: refusal.message,
          details: { causes: (refusal.causes ?? []).map((reason) => ({ reason })) },
        }
  response.writeHead(refusal?.code ?? 200, {
    'content-type': 'application/json',
    ...(refusal?.retryAfter === undefined ? {} : { 'retry-after': String(refusal.retryAfter) }),
  })
  response.end(JSON.stringify(status))
}
