import { readFileSync, readlinkSync } from 'node:fs'
import { CallError, GrpcClient } from '../../grpc/client.ts'
import { listeningSockets } from '../../os/sockets/listening-sockets.ts'
import {
  Controller,
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  Identity,
  Node,
  NodeServiceCapability_RPC_Type as NodeRpc,
} from '../../rpc/csi_pb.ts'
import type { RunningPlugin } from './first-file.ts'
import type { PluginSeen } from './seen.ts'

/** What a plugin says of itself. `deadline`: milliseconds for one call. Rejects with CallError. */
export async function askCapabilities(socket: string, deadline: number): Promise<PluginSeen> {
  using client = new GrpcClient(socket)
  const { name, vendorVersion } = await client.call(Identity.method.getPluginInfo, {}, deadline)
  const node = await client.call(Node.method.nodeGetCapabilities, {}, deadline)
  const controller = await client.call(Controller.method.controllerGetCapabilities, {}, deadline).catch((error: unknown) => {
    if (error instanceof CallError) return undefined
    throw error
  })
  return {
    ...{ name, version: vendorVersion },
    node: node.capabilities.map(({ type }) => (type.case === 'rpc' ? nameIn(NodeRpc, type.value.type) : 'UNKNOWN')),
    controller: controller?.capabilities.map(({ type }) =>
      type.case === 'rpc' ? nameIn(ControllerRpc, type.value.type) : 'UNKNOWN',
    ),
  }
}

/** What a running plugin says, and how its process was started. Rejects with CallError. */
export async function askPlugin(socket: string, deadline: number): Promise<RunningPlugin> {
  const plugin = await askCapabilities(socket, deadline)
  using client = new GrpcClient(socket)
  const { nodeId } = await client.call(Node.method.nodeGetInfo, {}, deadline)
  const [pid] = listeningSockets().find(({ path }) => path === socket)?.pids ?? []
  return { socket, plugin, nodeId, command: pid === undefined ? undefined : commandOf(pid) }
}

/** The executable and the arguments of a process; undefined if it has ended or is not ours to look at. */
function commandOf(pid: number): readonly string[] | undefined {
  try {
    const [, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
    return [readlinkSync(`/proc/${pid}/exe`), ...args]
  } catch {
    return undefined
  }
}

function nameIn(names: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(names).find((name) => names[name] === value) ?? String(value)
}
