/** The parts of a pod that tests of the restarter choose. */
export interface PodChoice {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly node?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** The kind of its controller; null for none. */
  readonly controller?: string | null
  /** The uid of its controller. */
  readonly ownerUid?: string
  readonly phase?: string
  readonly ready?: boolean
  /** Seconds since which it has been told to end. */
  readonly deletedFor?: number
  /** Seconds since it was created. */
  readonly createdFor?: number
  /** Seconds since which its volume `data` is inaccessible; null: it is accessible again; undefined: it always was. */
  readonly inaccessibleFor?: number | null
  /** The reason of the health condition; DaemonDead if it is left out. */
  readonly reason?: string
  /** The claim of its volume; `claim` if it is left out. */
  readonly claim?: string
  readonly hostPath?: string
  readonly version?: number
  /** Milliseconds since 1970. */
  readonly now?: number
}

/** A pod as the API server sends it, with a volume `data` of the claim `claim`. */
export function podObject(choice: PodChoice): Record<string, unknown> {
  const { name, namespace = 'default', uid = `uid-${name}`, controller = 'ReplicaSet', now = Date.now() } = choice
  const ago = (seconds: number): string => new Date(now - seconds * 1000).toISOString().replace(/\.\d+/, '')
  const health = {
    name: 'data',
    lastTransitionTime: ago(choice.inaccessibleFor ?? 0),
    ...(choice.inaccessibleFor === null
      ? {}
      : {
          healthConditions: [{ status: 'Inaccessible', reason: choice.reason ?? 'DaemonDead', message: 'the FUSE daemon is gone' }],
        }),
  }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace,
      name,
      uid,
      resourceVersion: String(choice.version ?? 1),
      creationTimestamp: ago(choice.createdFor ?? 3600),
      ...(choice.deletedFor === undefined
        ? {}
        : { deletionTimestamp: ago(choice.deletedFor - 30), deletionGracePeriodSeconds: 30 }),
      labels: choice.labels ?? {},
      annotations: choice.annotations ?? {},
      ownerReferences:
        controller === null
          ? []
          : [{ apiVersion: 'apps/v1', kind: controller, name: 'owner', uid: choice.ownerUid ?? 'uid-owner', controller: true }],
    },
    spec: {
      nodeName: choice.node ?? 'node',
      containers: [{ name: 'main', image: 'any' }],
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: choice.claim ?? 'claim' } },
        ...(choice.hostPath === undefined ? [] : [{ name: 'host', hostPath: { path: choice.hostPath } }]),
      ],
    },
    status: {
      phase: choice.phase ?? 'Running',
      conditions: [{ type: 'Ready', status: choice.ready === false ? 'False' : 'True' }],
      ...(choice.inaccessibleFor === undefined ? {} : { volumeHealth: [health] }),
    },
  }
}
