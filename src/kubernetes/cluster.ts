import { readFileSync } from 'node:fs'
import { HttpMethod, KubeConfig, RequestContext } from '@kubernetes/client-node'
import { messageOf, ProgramError } from '../errors.ts'

/** An API server, and how to authenticate with it. */
export interface Cluster {
  readonly config: KubeConfig
  /** The URL of the API server, without a slash at its end. */
  readonly server: string
  /** The namespace of the kubeconfig's context, or of this pod. */
  readonly namespace: string
}

/** The namespace that kubectl takes if none is named. */
const DEFAULT_NAMESPACE = 'default'

/**
 * Reads a kubeconfig, or without one the service account of this pod (`inPod`: the environment names the API server). Contacts no server; a
 * credential plugin of the kubeconfig is run. Rejects with ProgramError, status 1, for what cannot be read or is not complete. `option`: what
 * names the kubeconfig, for errors.
 */
export async function openCluster(kubeconfig: string | undefined, inPod: boolean, option = '--kubeconfig'): Promise<Cluster> {
  if (kubeconfig === undefined && !inPod)
    throw new ProgramError('no API server is named; run in a pod with a service account, or name a kubeconfig with --kubeconfig', 1)
  const config = new KubeConfig()
  try {
    if (kubeconfig === undefined) config.loadFromCluster()
    else load(config, kubeconfig)
    const cluster = config.getCurrentCluster()
    if (cluster === null) throw new Error('its current-context is missing, or names no cluster that it has')
    // Reads the certificates and the token.
    await config.applySecurityAuthentication(new RequestContext(cluster.server, HttpMethod.GET))
    const { namespace } = config.getContextObject(config.getCurrentContext()) ?? {}
    return { config, server: cluster.server, namespace: namespace?.trim() ?? DEFAULT_NAMESPACE }
  } catch (error) {
    const message =
      kubeconfig === undefined
        ? `cannot use the service account of this pod: ${messageOf(error)}; set automountServiceAccountToken, or name a kubeconfig with --kubeconfig`
        : `cannot use the kubeconfig ${kubeconfig}: ${messageOf(error)}; repair it, or name another with ${option}`
    throw new ProgramError(message, 1, { cause: error })
  }
}

function load(config: KubeConfig, kubeconfig: string): void {
  // The client reads a text that is no kubeconfig as an empty one, and fails at an empty text without saying why.
  if (readFileSync(kubeconfig, 'utf8').trim() === '') throw new Error('it is empty')
  config.loadFromFile(kubeconfig)
}
