import { array, looseObject, object, optional, record, string, type InferOutput } from 'valibot'
import { ProgramError } from '../../errors.ts'
import { checked } from '../../schema.ts'
import { CANNOT_RUN } from './access.ts'
import { type ClusterApi, PATHS } from './cluster-api.ts'

/** A node (k8s.io/api, core/v1/types.go). */
const NODE = looseObject({
  metadata: object({ name: string() }),
  status: object({
    capacity: optional(record(string(), string()), {}),
    conditions: optional(array(object({ type: string(), status: string(), message: optional(string(), '') })), []),
    nodeInfo: object({
      architecture: string(),
      operatingSystem: string(),
      kernelVersion: string(),
      kubeletVersion: string(),
      containerRuntimeVersion: string(),
    }),
  }),
})

export type ClusterNodeObject = InferOutput<typeof NODE>

/**
 * The node on which the lab is to run: the one of this name; without a name the only one, or else the first that is ready. Rejects with ProgramError for a node
 * that there is not, that is not ready, or that runs no x86-64 Linux.
 */
export async function chooseNode(api: ClusterApi, name: string | undefined): Promise<{ node: ClusterNodeObject; of: number }> {
  const nodes = (await api.list(PATHS.nodes)).map((one) => checked(NODE, one))
  if (name !== undefined) {
    const node = nodes.find(({ metadata }) => metadata.name === name)
    if (node === undefined)
      throw new ProgramError(
        `the cluster has no node '${name}'; there are ${nodes.map(({ metadata }) => metadata.name).join(', ') || 'none'}`,
        CANNOT_RUN,
      )
    const reason = unfit(node)
    if (reason !== undefined) throw new ProgramError(`node ${name} ${reason}; name another one with --node`, CANNOT_RUN)
    return { node, of: nodes.length }
  }
  const node = nodes.find((one) => unfit(one) === undefined)
  if (node !== undefined) return { node, of: nodes.length }
  const reasons = nodes.map((one) => `${one.metadata.name} ${unfit(one) ?? ''}`)
  throw new ProgramError(
    `the cluster has no node that the lab can run on${reasons.length === 0 ? '' : ` (${reasons.join('; ')})`}; it needs one x86-64 Linux node that is ready`,
    CANNOT_RUN,
  )
}

/** Why the lab cannot run on a node; undefined if it can. */
function unfit({ status }: ClusterNodeObject): string | undefined {
  const { architecture, operatingSystem } = status.nodeInfo
  if (operatingSystem !== 'linux' || architecture !== 'amd64') return `runs ${operatingSystem} on ${architecture}`
  const ready = status.conditions.find(({ type }) => type === 'Ready')
  if (ready?.status === 'True') return undefined
  return `is not ready${ready === undefined || ready.message === '' ? '' : `: ${ready.message}`}`
}
