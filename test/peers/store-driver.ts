// A CSI plugin that wants much of its file: CreateVolume before anything else, an access mode that it has alone, a variable of its environment,
// secrets of each call, the pod in the context, and time. It stages volumes and mounts nothing there. A volume is a folder below its state, and a target is
// a bind of that (as with csi-driver-host-path). A call for a volume that was not created is answered NOT_FOUND.
// STORE_SLOW: milliseconds that NodePublishVolume takes; a second if not given. Another call for the target is answered ABORTED meanwhile.
// STORE_HEALS: it binds a target that was unmounted again, that many milliseconds later.
// Started as `node store-driver.ts STATE`; it listens on /run/store-driver/csi.sock, whose folder it does not make.
import { status } from '@grpc/grpc-js'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Controller,
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  Identity,
  Node,
  NodeServiceCapability_RPC_Type as Rpc,
  VolumeCapability_AccessMode_Mode as Mode,
} from '../../src/rpc/csi_pb.ts'
import { type Handler, isMounted, Refusal, run, serve } from './driver-server.ts'

interface Request {
  readonly name: string
  readonly volumeId: string
  readonly parameters: Readonly<Record<string, string>>
  readonly capacityRange?: { readonly requiredBytes: bigint; readonly limitBytes: bigint }
  readonly volumeCapability?: { readonly accessMode?: { readonly mode: Mode } }
  readonly volumeContext: Readonly<Record<string, string>>
  readonly targetPath: string
  readonly secrets: Readonly<Record<string, string>>
}

const [state = ''] = process.argv.slice(2)
const { STORE_SLOW: slow = '1000', STORE_HEALS: heals = '0', STORE_PLACE: place } = process.env

/** By target: what is bound there, and since when it is not. */
const published = new Map<string, { readonly path: string; readonly goneAt?: number }>()

/** Targets of which a publication is under way. */
const underWay = new Set<string>()

function heal(after: number): void {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  for (const [target, { path, goneAt = Date.now() }] of published)
    if (mounts.includes(` ${target} `)) published.set(target, { path })
    else if (Date.now() - goneAt < after) published.set(target, { path, goneAt })
    else run('mount', '--bind', path, target)
}

async function bindLater(path: string, target: string): Promise<void> {
  if (underWay.has(target)) throw new Refusal(status.ABORTED, 'a publication is under way there')
  underWay.add(target)
  try {
    await sleep(Number(slow))
    mkdirSync(target, { recursive: true })
    run('mount', '--bind', path, target)
  } finally {
    underWay.delete(target)
  }
}

function requireThat(holds: boolean, what: string): void {
  if (!holds) throw new Refusal(status.INVALID_ARGUMENT, what)
}

function volume({ volumeId, volumeCapability }: Request): string {
  requireThat(volumeCapability?.accessMode?.mode === Mode.MULTI_NODE_READER_ONLY, 'only MULTI_NODE_READER_ONLY is supported')
  const path = join(state, volumeId)
  if (!existsSync(path)) throw new Refusal(status.NOT_FOUND, `there is no volume ${volumeId}`)
  return path
}

const node: Readonly<Record<string, Handler<Request>>> = {
  nodeGetInfo: () => ({ nodeId: 'node' }),
  nodeGetCapabilities: () => ({ capabilities: [{ type: { case: 'rpc', value: { type: Rpc.STAGE_UNSTAGE_VOLUME } } }] }),
  nodeStageVolume: (request) => {
    volume(request)
    requireThat(request.secrets.of === 'of-stage', 'the secret of NodeStageVolume is missing')
    requireThat(request.volumeContext.bytes === '1048576-2097152', 'the context of the answer is missing')
    requireThat(request.volumeContext['csi.storage.k8s.io/pod.uid'] === undefined, 'a pod is no matter of NodeStageVolume')
    return {}
  },
  nodePublishVolume: async (request) => {
    const path = volume(request)
    requireThat(request.secrets.of === 'of-all', 'the secret of NodePublishVolume is missing')
    const keys = ['pod.name', 'pod.namespace', 'pod.uid', 'serviceAccount.name', 'ephemeral']
    const [name = '', , uid = '', , ephemeral] = keys.map((key) => request.volumeContext[`csi.storage.k8s.io/${key}`])
    requireThat(name !== '' && request.targetPath.includes(uid) && uid !== '' && ephemeral === 'false', 'the pod is missing')
    if (!isMounted(request.targetPath)) await bindLater(path, request.targetPath)
    published.set(request.targetPath, { path })
    return {}
  },
  nodeUnpublishVolume: ({ targetPath }) => {
    published.delete(targetPath)
    run('umount', targetPath)
    rmSync(targetPath, { recursive: true })
    return {}
  },
  nodeUnstageVolume: () => ({}),
}

const controller: Readonly<Record<string, Handler<Request>>> = {
  controllerGetCapabilities: () => ({
    capabilities: [{ type: { case: 'rpc', value: { type: ControllerRpc.CREATE_DELETE_VOLUME } } }],
  }),
  createVolume: ({ name, parameters, capacityRange, secrets }) => {
    requireThat(secrets.of === 'of-create', 'the secret of CreateVolume is missing')
    requireThat(parameters.pool === state, 'the parameter pool is missing')
    mkdirSync(join(state, name), { recursive: true })
    const bytes = `${capacityRange?.requiredBytes ?? ''}-${capacityRange?.limitBytes ?? ''}`
    return { volume: { volumeId: name, volumeContext: { bytes } } }
  },
  deleteVolume: ({ volumeId, secrets }) => {
    requireThat(secrets.of === 'of-all', 'the secret of DeleteVolume is missing')
    requireThat(existsSync(join(state, volumeId)), 'there is no such volume')
    rmSync(join(state, volumeId), { recursive: true })
    return {}
  },
}

if (Number(heals) > 0) setInterval(heal, 100, Number(heals))
if (place !== `${state}/here`) throw new Error('STORE_PLACE is not in the environment')
writeFileSync(join(state, 'started'), '')
const socket = '/run/store-driver/csi.sock'
rmSync(socket, { force: true })
const identity = { getPluginInfo: () => ({ name: 'store-driver', vendorVersion: '1' }), probe: () => ({}) }
serve<Request>(
  socket,
  [
    [Identity, identity],
    [Node, node],
    [Controller, controller],
  ],
  (method, { volumeId }) => process.stderr.write(`${method} ${volumeId}\n`),
)
