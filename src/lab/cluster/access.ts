import { boolean, object, optional, string } from 'valibot'
import { ProgramError } from '../../errors.ts'
import { ApiError, hasStatus } from '../../kubernetes/api-server.ts'
import { checked } from '../../schema.ts'
import type { ClusterApi } from './cluster-api.ts'

/** The lab cannot run on this cluster (docs/lab.md, exit status). */
export const CANNOT_RUN = 3

/** A right, as RBAC names it. Without a namespace where the resource has none. */
interface Right {
  readonly group?: string
  readonly resource: string
  readonly verbs: readonly string[]
  readonly namespaced?: true
}

/** All that the lab does with the API server. docs/lab.md has the same as a ClusterRole. */
export const RIGHTS: readonly Right[] = [
  { resource: 'nodes', verbs: ['get', 'list'] },
  { resource: 'namespaces', verbs: ['get', 'list', 'create', 'delete'] },
  { resource: 'persistentvolumes', verbs: ['get', 'list', 'create', 'delete'] },
  { group: 'storage.k8s.io', resource: 'csidrivers', verbs: ['get', 'list', 'create', 'delete'] },
  { group: 'storage.k8s.io', resource: 'csinodes', verbs: ['get'] },
  { resource: 'persistentvolumeclaims', verbs: ['create', 'delete', 'get'], namespaced: true },
  { resource: 'pods', verbs: ['get', 'list', 'watch', 'create', 'delete'], namespaced: true },
  { resource: 'pods/log', verbs: ['get'], namespaced: true },
  // An API server takes the verb of a WebSocket by its HTTP method, and newer ones ask for create as well.
  { resource: 'pods/attach', verbs: ['get', 'create'], namespaced: true },
  { resource: 'events', verbs: ['list'], namespaced: true },
  { group: 'apps', resource: 'daemonsets', verbs: ['get', 'list', 'create', 'update', 'delete'], namespaced: true },
]

const REVIEW = object({ status: object({ allowed: boolean(), reason: optional(string(), '') }) })

/** Whether the API server answers and takes the credentials. Rejects with ProgramError that says what to do; resolves to its version. */
export async function reach(api: ClusterApi): Promise<string> {
  const { server } = api.server.cluster
  try {
    return checked(object({ gitVersion: string() }), await api.read('/version')).gitVersion
  } catch (error) {
    api.signal.throwIfAborted()
    if (hasStatus(error, 401) || hasStatus(error, 403))
      throw new ProgramError(
        `the API server ${server} does not take the credentials of the kubeconfig (${words(error)}); renew them, or name another kubeconfig with --cluster`,
        CANNOT_RUN,
        { cause: error },
      )
    throw new ProgramError(
      `cannot use the API server ${server}: ${words(error)}; check the server of the kubeconfig and the way to it, or name another kubeconfig with --cluster`,
      CANNOT_RUN,
      { cause: error },
    )
  }
}

/**
 * Asks the API server for each right that the lab needs in the namespace (SelfSubjectAccessReview), before anything is created. Rejects with ProgramError that
 * names those that are missing.
 */
export async function requireRights(api: ClusterApi, namespace: string): Promise<void> {
  const asked = RIGHTS.flatMap((right) => right.verbs.map((verb) => ({ ...right, verb })))
  const answers = await Promise.all(
    asked.map(async ({ group = '', resource, verb, namespaced }) => {
      const [name = '', subresource = ''] = resource.split('/')
      const resourceAttributes = { group, resource: name, subresource, verb, ...(namespaced === true ? { namespace } : {}) }
      return await allowed(api, resourceAttributes)
    }),
  )
  const missing = asked.filter((_, index) => answers[index] !== true)
  if (missing.length === 0) return
  const byResource = Map.groupBy(missing, ({ group, resource }) => (group === undefined ? resource : `${resource} (${group})`))
  const list = [...byResource].map(([resource, those]) => `${those.map(({ verb }) => verb).join(', ')} ${resource}`)
  throw new ProgramError(
    `the user of the kubeconfig lacks rights that the lab needs: ${list.join('; ')}; bind a ClusterRole with them to the user (docs/lab.md, "On a cluster")`,
    CANNOT_RUN,
  )
}

async function allowed(api: ClusterApi, resourceAttributes: object): Promise<boolean> {
  const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes } }
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
  try {
    return checked(REVIEW, await api.server.request('POST', path, { body, signal: api.signal })).status.allowed
  } catch (error) {
    api.signal.throwIfAborted()
    throw new ProgramError(
      `cannot ask the API server which rights the user of the kubeconfig has: ${words(error)}; the user needs create selfsubjectaccessreviews (authorization.k8s.io), which the ClusterRole system:basic-user has`,
      CANNOT_RUN,
      { cause: error },
    )
  }
}

/** What an error says, on one line. */
export function words(error: unknown): string {
  return error instanceof ApiError || error instanceof Error ? error.message : String(error)
}
