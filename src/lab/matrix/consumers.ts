import type { Title } from './lab-record.ts'

/**
 * Where a consumer lives, and so which mounts it sees: on the node itself; or in a pod, a mount namespace of its own, with the volume at
 * /mnt and nothing propagated (`private`), with HostToContainer (`slave`), or with the folder above the volume, HostToContainer (`slave-folder`).
 */
type Place = 'node' | 'private' | 'slave' | 'slave-folder'

/** One consumer: how it reads, and where and when it lives. */
export interface ConsumerSpec {
  /** Its lane, and the name of its pod. */
  readonly id: string
  readonly title: string
  /** A name of consumer/read-methods.ts. */
  readonly way: 'keeps-open' | 'opens-anew' | 'mapped' | 'cwd'
  readonly place: Place
  /** Which volume it reads: the one that the failure strikes, or another one of the same plugin. */
  readonly volume: 'struck' | 'neighbour'
  /** When the kubelet is asked for it, as the failure goes. */
  readonly starts: 'before' | 'during' | 'after'
  /** Whether it ends at its first error, and is started again by the node agent. */
  readonly exitsOnError: boolean
  /** Whether it writes records when it has read right. */
  readonly writes?: true
  /** Files of records that it reads back. */
  readonly readsBack?: readonly string[]
}

/** One kind of consumer of the matrix. */
export interface ConsumerKind extends ConsumerSpec, Title {}

/** The consumer that reads another volume. */
export const NEIGHBOUR_ID = 'neighbour'

const RUNNING = { volume: 'struck', starts: 'before', exitsOnError: false } as const

/** Every kind, in the order in which they are shown. */
export const CONSUMERS: readonly ConsumerKind[] = [
  {
    id: 'keeps-open',
    title: 'Keeps its file open',
    words: 'A process on the node that opens its file once and reads from that descriptor.',
    way: 'keeps-open',
    place: 'node',
    ...RUNNING,
  },
  {
    id: 'opens-anew',
    title: 'Opens anew each time',
    words: 'A process on the node that opens its file by path for each read.',
    way: 'opens-anew',
    place: 'node',
    ...RUNNING,
  },
  {
    id: 'mapped',
    title: 'Memory map',
    words: 'A process on the node that has the file mapped into its memory, and reads the page again and again.',
    way: 'mapped',
    place: 'node',
    ...RUNNING,
  },
  {
    id: 'cwd',
    title: 'Works inside',
    words: 'A process on the node whose working directory is the volume. It opens the file by its name alone.',
    way: 'cwd',
    place: 'node',
    ...RUNNING,
  },
  {
    id: 'private',
    title: 'Pod, private mounts',
    words: 'A pod as Kubernetes makes it by default: the volume at /mnt, mountPropagation None. Opens the file for each read.',
    way: 'opens-anew',
    place: 'private',
    ...RUNNING,
  },
  {
    id: 'slave-volume',
    title: 'Pod, slave of the volume',
    words: 'A pod with the volume at /mnt and mountPropagation HostToContainer. Opens the file for each read.',
    way: 'opens-anew',
    place: 'slave',
    ...RUNNING,
  },
  {
    id: 'slave-folder',
    title: 'Pod, slave of the folder above',
    words: 'A pod with the folder above the volume at /mnt and mountPropagation HostToContainer. Opens the file for each read.',
    way: 'opens-anew',
    place: 'slave-folder',
    ...RUNNING,
  },
  {
    id: 'starts-during',
    title: 'Starts during the failure',
    words: 'A pod with private mounts that the kubelet is asked to start while the failure lasts.',
    way: 'opens-anew',
    place: 'private',
    volume: 'struck',
    starts: 'during',
    exitsOnError: false,
  },
  {
    id: 'starts-after',
    title: 'Starts after the failure',
    words: 'A pod with private mounts that the kubelet is asked to start after the repair.',
    way: 'opens-anew',
    place: 'private',
    volume: 'struck',
    starts: 'after',
    exitsOnError: false,
  },
  {
    id: 'exits-on-error',
    title: 'Exits on error, restarted',
    words: 'A pod with private mounts that keeps its file open and ends at its first error. The kubelet starts it again.',
    way: 'keeps-open',
    place: 'private',
    volume: 'struck',
    starts: 'before',
    exitsOnError: true,
  },
  {
    id: NEIGHBOUR_ID,
    title: 'Neighbour: another volume',
    words:
      'A process on the node that keeps a file of another volume of the same plugin open. Failures of a daemon or a mount strike the first volume only. What the neighbour notices shows how far the failure reaches.',
    way: 'keeps-open',
    place: 'node',
    ...RUNNING,
    volume: 'neighbour',
  },
]

/** The consumer that writes, where the failure is one of the storage. It is none of our own plugin's, whose volumes are read-only. */
export const WRITER: ConsumerKind = {
  id: 'writes',
  title: 'Pod that writes',
  words:
    'A pod with private mounts that writes numbered records with checksums into three files of its own: by write alone, by write and fsync, and by write and close. A read of it is a round of the three. A new pod reads the files back at the end.',
  way: 'opens-anew',
  place: 'private',
  ...RUNNING,
  writes: true,
}

/** Every kind that a driver meets which is brought; it has one volume. */
export const DRIVER_CONSUMERS: readonly ConsumerKind[] = [...CONSUMERS.filter(({ volume }) => volume === 'struck'), WRITER]
