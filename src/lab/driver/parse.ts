import { isAbsolute } from 'node:path'
import { messageOf, UsageError } from '../../errors.ts'
import { LONGEST_SOCKET_PATH } from '../../os/sockets/unix-socket.ts'
import { checked } from '../../schema.ts'
import { parseYaml } from '../../yaml.ts'
import type { Volume } from '../kubelet.ts'
import { PLUGIN_FOLDER, SOCKET, stagingPath } from '../node-paths.ts'
import type { Creation } from '../provisioner.ts'
import { fillPlaces, hasPlace, type Place, PLACES } from './places.ts'
import { DRIVER_FILE, type DriverFile } from './schema.ts'
import type { DriverSpec, HelperSpec, ShieldedStart } from './spec.ts'

/** The name that the volume has on the node, as a PersistentVolume has. */
const PV = 'driver-pv'

/** What {state}, {node} and {staging} stand for. */
const STANDARD = { state: PLUGIN_FOLDER, node: 'lab-node', staging: stagingPath(PV) }

/** Seconds for a call. */
const STANDARD_CALL = 3

/** Seconds for which consumers are watched. */
const STANDARD_WATCH = 2

/** The unit after a number of bytes, as Kubernetes reads it. */
const UNITS: Readonly<Record<string, number>> = {
  ...{ '': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50 },
}

/**
 * Reads a driver's file (docs/lab.md), and fills in the placeholders of all its texts; {target} of `populate` stays. `name`: of the file, for
 * errors. Throws UsageError that names the field.
 */
export function parseDriver(text: string, name: string): DriverSpec {
  try {
    const value = parseYaml(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new Error('the file is not a list of names with values')
    return specOf(checked(DRIVER_FILE, value))
  } catch (error) {
    throw new UsageError(`${name}: ${messageOf(error)} (docs/lab.md, "Your own driver")`)
  }
}

function specOf(file: DriverFile): DriverSpec {
  const socket = socketOf(file.socket)
  const filled = fillIn(file, { ...STANDARD, socket }, '')
  const start = filled.start.map(String)
  if (!isAbsolute(start[0] ?? '')) throw new Error('start does not begin with an absolute path')
  const {
    upgrade,
    stop = 'SIGTERM',
    callTimeout = STANDARD_CALL,
    watch = STANDARD_WATCH,
    daemon,
    prepare,
    populate,
    create,
    stored,
  } = filled
  if (filled.content === '')
    throw new Error('content is empty, and no memory map can read an empty file; name one that holds something')
  if (upgrade?.length === 0) throw new Error('upgrade is empty')
  if (stored !== undefined && !isAbsolute(stored)) throw new Error('stored is not an absolute path')
  if (populate !== undefined && !hasTarget(populate)) throw new Error('populate has no {target}, where the volume is published')
  return {
    name: filled.name,
    start,
    upgrade: upgrade?.map(String) ?? start,
    stop,
    env: texts(filled.env),
    helpers: helpersOf(filled.helpers ?? []),
    socket,
    network: filled.network ?? 'loopback',
    systemd: filled.systemd ?? false,
    podCgroups: filled.podCgroups ?? false,
    callTimeout: Math.round(callTimeout * 1000),
    watch: Math.round(watch * 1000),
    watchIsGiven: filled.watch !== undefined,
    container: filled.container?.map(String) ?? [],
    logs: logsOf(filled.logs ?? []),
    fuse: filled.fuse ?? true,
    ...{ daemon, prepare, populate, stored },
    shield: filled.shield === undefined ? undefined : shieldOf(filled.shield, daemon),
    volume: volumeOf(filled),
    create: create === undefined ? undefined : creationOf(create ?? {}),
    file: filled.file,
    content: filled.content,
  }
}

function socketOf(text: string | undefined): string {
  if (text === undefined) return SOCKET
  const socket = fillIn(text, STANDARD, 'socket')
  if (!isAbsolute(socket)) throw new Error('socket is not an absolute path, without unix: before it')
  if (socket.endsWith('/')) throw new Error('socket is a folder, and not the path of a socket')
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH)
    throw new Error(`socket has more than ${LONGEST_SOCKET_PATH} bytes, the most that the path of a unix socket may have`)
  return socket
}

function logsOf(paths: readonly string[]): readonly string[] {
  const wrong = paths.findIndex((path) => !isAbsolute(path))
  if (wrong >= 0) throw new Error(`logs.${wrong} is not an absolute path`)
  return paths
}

function helpersOf(all: NonNullable<DriverFile['helpers']>): readonly HelperSpec[] {
  return all.map(({ name, command, ready, belongs, storage }, index) => {
    if (all.findIndex((one) => one.name === name) < index) throw new Error(`helpers.${index}.name is that of another helper`)
    const words = command.map(String)
    if (!isAbsolute(words[0] ?? '')) throw new Error(`helpers.${index}.command does not begin with an absolute path`)
    if (storage === true && belongs === 'container')
      throw new Error(`helpers.${index} is the storage, and ends with the container; let it belong to the node, or be a service`)
    return { name, command: words, ready, belongs, storage: storage === true }
  })
}

function shieldOf({ start, container, readOnly }: NonNullable<DriverFile['shield']>, daemon: string | undefined): ShieldedStart {
  const words = start.map(String)
  if (!isAbsolute(words[0] ?? '')) throw new Error('shield.start does not begin with an absolute path')
  if (daemon === undefined) throw new Error('shield needs daemon, the name of the processes behind the shield')
  return { start: words, container: container?.map(String) ?? [], readOnly: readOnly ?? false }
}

function volumeOf({ volume, create, podInfo }: DriverFile): Volume {
  const { id, staged, accessMode, attributes, publishContext, secrets, callSecrets, fsType, mountFlags } = volume
  if (create === undefined && id === undefined) throw new Error('volume.id is missing; a driver that creates volumes has create')
  for (const [field, value] of Object.entries({ id, attributes }))
    if (create !== undefined && value !== undefined && value !== null)
      throw new Error(`volume.${field} is what the answer to CreateVolume says, and the file has create; leave one of them out`)
  if (create === undefined)
    for (const call of ['controllerCreate', 'controllerDelete'] as const)
      if (callSecrets?.[call] !== undefined) throw new Error(`volume.callSecrets.${call} needs create`)
  const ofCalls = Object.entries(callSecrets ?? {}).map(([call, entries]) => [call, texts(entries)] as const)
  return {
    id: id ?? '',
    pv: PV,
    staged: staged ?? true,
    volumeContext: texts(attributes),
    publishContext: texts(publishContext),
    secrets: texts(secrets),
    callSecrets: Object.fromEntries(ofCalls),
    podInfo: podInfo ?? false,
    mountFlags: mountFlags?.map(String) ?? [],
    ...(accessMode === undefined ? {} : { accessMode }),
    ...(fsType === undefined ? {} : { fsType }),
  }
}

function creationOf({ parameters, capacity }: NonNullable<DriverFile['create']>): Creation {
  const { required, limit } = typeof capacity === 'object' ? capacity : { required: capacity }
  const range = { required: bytes('create.capacity.required', required), limit: bytes('create.capacity.limit', limit) }
  if (range.limit > 0 && range.limit < range.required) throw new Error('create.capacity.limit is less than what is required')
  return { parameters: texts(parameters), capacity: range }
}

function bytes(where: string, value: string | number | undefined): number {
  const [, number = '', unit = ''] = /^([0-9]+)([A-Za-z]*)$/.exec(String(value ?? 0)) ?? []
  const count = Number(number) * (UNITS[unit] ?? NaN)
  if (!Number.isSafeInteger(count)) throw new Error(`${where} is more than ${Number.MAX_SAFE_INTEGER} bytes`)
  return count
}

function texts(entries: Readonly<Record<string, string | number | boolean>> | null | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(entries ?? {}).map(([name, text]) => [name, String(text)]))
}

/** The same value with each place of its texts filled in; {target} of `populate` stays. `where`: the field. Throws Error for a place that the field may not have. */
function fillIn<T>(value: T, values: Readonly<Partial<Record<Place, string>>>, where: string): T {
  const filled = (one: unknown, at: string): unknown => {
    if (Array.isArray(one)) return one.map((each) => filled(each, at))
    if (typeof one === 'object' && one !== null)
      return Object.fromEntries(Object.entries(one).map(([key, each]) => [key, filled(each, at === '' ? key : `${at}.${key}`)]))
    if (typeof one !== 'string') return one
    const places = at === 'populate' ? PLACES.filter((place) => place !== 'target') : PLACES
    return ofField(at, () => fillPlaces(one, places, (place) => values[place] ?? refuse(place)))
  }
  return filled(value, where) as T
}

function refuse(place: Place): never {
  throw new Error(
    place === 'target'
      ? 'has {target}, where the volume is published for a pod; only populate has that'
      : `has {${place}}, which is what it says itself`,
  )
}

function hasTarget(populate: string): boolean {
  return ofField('populate', () => hasPlace(populate, 'target'))
}

/** Has an error say first which field it is about. */
function ofField<T>(field: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw new Error(`${field} ${messageOf(error)}`, { cause: error })
  }
}
