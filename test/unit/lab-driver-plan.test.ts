import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { planDriver, type Shown } from '../../src/lab/driver/matrix.ts'
import { parseDriver } from '../../src/lab/driver/parse.ts'
import { FuseMounts } from '../../src/lab/fuse-mounts.ts'
import { MountSnapshot } from '../../src/lab/mount-snapshot.ts'
import { notTried } from '../../src/lab/matrix/not-tried.ts'
import { parseMountinfo } from '../../src/os/mounts/mountinfo.ts'

const HELPER = { name: 'server', command: ['/bin/server'], belongs: 'node' }
const FILE = {
  ...{ name: 'd', start: ['/bin/d'], daemon: 'served', volume: { id: 'v' }, file: 'f', content: 'c' },
  helpers: [
    { ...HELPER, storage: true },
    { ...HELPER, name: 'other' },
  ],
}

/** A driver that can be struck by all that is not about its daemon's mounting. */
const SHOWN: Shown = {
  mounts: ['staging', 'target'].map((at) => ({ at, fsType: 'fuse.d', source: 'd', fuse: true, connection: 70 })),
  read: { saw: 'right', afterMs: 9, names: [], held: undefined },
  holders: [holder('supervisor', false), holder('served', true)],
  health: 'implemented',
}

function holder(comm: string, answers: boolean | undefined, plugin = false): Shown['holders'][number] {
  return { pid: comm.length, comm, connection: 70, plugin, answers }
}

/** By failure or mitigation, the reason for which it is absent from all cells. */
function reasons(file: object, shown?: Shown): Readonly<Record<string, string>> {
  const all = { failures: [], mitigations: [], consumers: [] }
  const { cells, absent } = planDriver(parseDriver(JSON.stringify({ ...FILE, ...file }), 'driver.yaml'), all, shown)
  for (const { failure, mitigation } of absent)
    assert.ok(!cells.some((cell) => cell.failure.id === failure && cell.mitigation.id === mitigation))
  const seen = cells.map((cell) => ({ failure: cell.failure.id, mitigation: cell.mitigation.id }))
  return Object.fromEntries(notTried({ absent, cells: seen }).flatMap(({ ids, reason }) => ids.map((id) => [id, reason])))
}

/** Of every driver. */
const ALWAYS = ['plugin-restarted', 'daemon-upgraded', 'mount-fails', 'mount-late']

/** Reasons beside those that every driver has. */
function more(file: object, shown?: Shown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(reasons(file, shown)).filter(([id]) => !ALWAYS.includes(id)))
}

/** What is done to a daemon. */
const DAEMON = ['all-pods-replaced', 'daemon-hung', 'daemon-killed', 'daemon-replaced', 'pod-replaced']

/** What is absent where no FUSE mount is. */
function withoutFuse(reason: string): Readonly<Record<string, string>> {
  return Object.fromEntries(['connection-aborted', 'holder-killed', ...DAEMON].map((id) => [id, reason]))
}

describe('what a failure cannot do to a driver', () => {
  it('is nothing but what no driver has, where all was seen', () => {
    assert.deepEqual(Object.keys(reasons({}, SHOWN)).toSorted(), ALWAYS.toSorted())
    assert.deepEqual(more({}), {})
  })

  it('is what the file rules out, before a trial', () => {
    assert.deepEqual(more({ daemon: undefined, volume: { id: 'v', staged: false } }), {
      'staging-unmounted': 'It stages no volumes.',
    })
  })

  it('is a failure of the storage or of helpers, where no helper is one', () => {
    const reason = 'The file has no helper with storage: true.'
    const absent = { 'storage-hung': reason, 'storage-down': reason }
    const none = { 'helper-killed': 'The file has no helper, or none that is not the storage.' }
    assert.deepEqual(more({ helpers: [] }), { ...absent, ...none })
    assert.deepEqual(more({ helpers: [HELPER] }), absent)
    assert.deepEqual(more({ helpers: [{ ...HELPER, storage: true }] }), none)
  })

  it('is that somebody writes, where the volume refuses writes', () => {
    const plan = (shown: Shown, consumers: readonly string[] = []): ReturnType<typeof planDriver> =>
      planDriver(
        parseDriver(JSON.stringify(FILE), 'driver.yaml'),
        { failures: ['storage-down', 'daemon-killed'], mitigations: ['as-is'], consumers },
        shown,
      )
    const writing = ({ cells }: ReturnType<typeof planDriver>): readonly string[] =>
      cells.filter(({ consumers }) => Object.hasOwn(consumers, 'writes')).map(({ failure }) => failure.id)
    assert.deepEqual(writing(plan(SHOWN)), ['storage-down'])
    const refused = plan({ ...SHOWN, refusesWrites: 'Read-only file system' })
    assert.deepEqual(writing(refused), [])
    const where = { failure: 'storage-down', mitigation: 'as-is', consumer: 'writes' }
    assert.deepEqual(refused.absent, [{ ...where, reason: 'The volume refuses writes: Read-only file system.' }])
    assert.deepEqual(plan({ ...SHOWN, refusesWrites: 'Read-only file system' }, ['private']).absent, [])
  })

  it('is the shield column, where the file does not say how, and that somebody writes where it is read-only', () => {
    const plan = (file: object, mitigations: readonly string[], shown: Shown = SHOWN): ReturnType<typeof planDriver> =>
      planDriver(
        parseDriver(JSON.stringify({ ...FILE, ...file }), 'driver.yaml'),
        { failures: ['storage-down', 'daemon-killed', 'holder-killed'], mitigations, consumers: [] },
        shown,
      )
    const under = ({ cells }: ReturnType<typeof planDriver>): readonly string[] =>
      cells.filter(({ mitigation }) => mitigation.id === 'shield').map(({ failure }) => failure.id)
    assert.deepEqual(under(plan({}, [])), [])
    const unsaid = 'The file does not say how the driver is started behind a shield.'
    assert.deepEqual([...new Set(plan({}, ['shield']).absent.map(({ reason }) => reason))], [unsaid])
    const shield = { start: ['/bin/d', 'shielded'], readOnly: true }
    const planned = plan({ shield }, ['as-is', 'shield'], { ...SHOWN, holders: [holder('served', undefined)] })
    assert.deepEqual(under(planned).toSorted(), ['daemon-killed', 'holder-killed', 'storage-down'])
    assert.deepEqual(planned.absent.map(({ failure, mitigation, consumer }) => [failure, mitigation, consumer]).toSorted(), [
      ['holder-killed', 'as-is', undefined],
      ['storage-down', 'shield', 'writes'],
    ])
  })

  it('is the health column, where NodeGetVolumeHealth is not implemented', () => {
    assert.deepEqual(more({}, { ...SHOWN, health: 'no capability' }), {
      health: 'It does not implement NodeGetVolumeHealth: it has no capability GET_VOLUME_HEALTH.',
    })
    assert.match(
      more({}, { ...SHOWN, health: 'unimplemented' }).health ?? '',
      /has the capability GET_VOLUME_HEALTH, and answers UNIMPLEMENTED/,
    )
  })

  it('is to unmount what is not mounted, with the time after which that was seen if the volume did not read right', () => {
    const target = SHOWN.mounts.filter(({ at }) => at === 'target')
    assert.deepEqual(more({}, { ...SHOWN, mounts: target }), {
      'staging-unmounted': 'It mounts nothing at the staging path, although it stages volumes.',
    })
    const read = { saw: 'No such file or directory', afterMs: 5012, names: [], held: undefined }
    assert.deepEqual(more({}, { ...SHOWN, mounts: [], read }), {
      'staging-unmounted':
        'It mounts nothing at the staging path, although it stages volumes (seen 5.0 s after the answer to NodePublishVolume).',
      'target-unmounted': 'It mounts nothing at the target of a pod (seen 5.0 s after the answer to NodePublishVolume).',
      ...withoutFuse('It has made no FUSE mount (seen 5.0 s after the answer to NodePublishVolume).'),
    })
  })

  it('is to abort a connection that there is not, and not where a FUSE mount is elsewhere or not staged', () => {
    const bind = { at: 'target', fsType: 'tmpfs', source: 's', fuse: false, connection: undefined }
    assert.deepEqual(more({ volume: { id: 'v', staged: false } }, { ...SHOWN, mounts: [bind] }), {
      'staging-unmounted': 'It stages no volumes.',
      ...withoutFuse('It has made no FUSE mount: a mount of tmpfs is at the target.'),
    })
    const elsewhere = { at: '/var/lib/d', fsType: 'fuse.d', source: 's', fuse: true, connection: 71 }
    const unstaged = { volume: { id: 'v', staged: false }, fuse: false }
    const holders = SHOWN.holders.map((one) => ({ ...one, connection: 71 }))
    assert.deepEqual(Object.keys(more(unstaged, { ...SHOWN, mounts: [bind, elsewhere], holders })), ['staging-unmounted'])
  })

  it('is what takes a process other than the plugin, where the plugin itself answers', () => {
    const own = 'The plugin itself answers for the volume (plugin);'
    assert.deepEqual(more({}, { ...SHOWN, holders: [holder('plugin', undefined, true)] }), {
      'daemon-killed': `${own} plugin-killed kills that process.`,
      'daemon-replaced': `${own} while that process is stopped, nobody answers a call for one more pod either. daemon-hung stops that process.`,
      'holder-killed': 'Only what answers for the volume (plugin) holds a descriptor of its connection.',
    })
  })

  it('is all that is done to a daemon, where nobody is seen to answer', () => {
    const nobody = { ...SHOWN, holders: [] }
    assert.deepEqual(Object.keys(more({}, nobody)), ['holder-killed'])
    assert.deepEqual(Object.keys(more({ daemon: undefined }, nobody)).toSorted(), [...DAEMON, 'holder-killed'].toSorted())
    const unnamed = more({ daemon: undefined }, nobody)
    assert.equal(unnamed['daemon-hung'], 'No process is seen that answers for the volume, and the file names no daemon.')
    const mounts = SHOWN.mounts.map((mount) => ({ ...mount, fsType: 'nfs', fuse: false, connection: undefined }))
    assert.equal(more({}, { ...SHOWN, mounts })['pod-replaced'], 'It has made no FUSE mount: a mount of nfs is at the target.')
  })

  it('is not to kill a daemon that the file does not name, or names wrongly', () => {
    for (const daemon of [undefined, 'supervisor', 'other']) assert.deepEqual(more({ daemon }, SHOWN), {})
    assert.deepEqual(more({}, { ...SHOWN, holders: [holder('a', false), holder('bc', false)] }), {
      'holder-killed': 'It is not known which process answers for the volume, and which only holds a descriptor.',
    })
  })

  it('is to kill a holder, where only the plugin holds a descriptor beside the daemon, or nobody does', () => {
    const said = (...holders: Shown['holders']): string | undefined => more({}, { ...SHOWN, holders })['holder-killed']
    assert.equal(
      said(holder('served', undefined)),
      'Only what answers for the volume (served) holds a descriptor of its connection.',
    )
    assert.equal(
      said(holder('served', true), holder('plugin', false, true)),
      'Beside what answers for the volume (served), only the plugin itself holds a descriptor; plugin-killed strikes it.',
    )
  })
})

describe('the FUSE mounts that are made on a private node', () => {
  const line = (id: number, device: string, at: string, type = 'fuse.d', tags = ''): string =>
    `${id} 1 ${device} / ${at} rw ${tags === '' ? '' : `${tags} `}- ${type} s rw`
  const ROOT = '1 0 8:1 / / rw - ext4 /dev/sda1 rw'

  /** On a node that begins with some lines, and comes to have others. */
  function mounts(before: readonly string[], then: readonly string[]): FuseMounts {
    const tables = [before, then].map((lines) => parseMountinfo([ROOT, ...lines].join('\n')))
    return new FuseMounts(new MountSnapshot(() => tables.shift() ?? parseMountinfo([ROOT, ...then].join('\n'))))
  }

  function connectionsOf(fuse: FuseMounts, paths: readonly string[]): readonly number[] {
    return [...fuse.mountsOf(paths).keys()].sort()
  }

  it('are those of the paths of a volume, or else all of them', () => {
    const made = [line(10, '0:70', '/staging'), line(11, '0:70', '/a'), line(12, '0:71', '/b'), line(13, '0:72', '/other')]
    const fuse = mounts([], made)
    assert.deepEqual(fuse.paths(), ['/staging', '/a', '/b', '/other'])
    assert.deepEqual(connectionsOf(fuse, ['/staging', '/a', '/none']), [70])
    assert.deepEqual(connectionsOf(fuse, ['/a', '/b']), [70, 71])
    const bound = mounts([], [line(10, '0:60', '/a', 'overlay'), line(11, '0:70', '/var/lib/d')])
    assert.deepEqual(connectionsOf(bound, ['/a']), [70])
    assert.deepEqual(bound.connectionsAt(['/a']), [])
  })

  it('are none of the machine: no copy, no bind of a copy, and none that the machine makes later', () => {
    const copy = line(10, '0:70', '/home')
    const fuse = mounts([copy], [copy, line(11, '0:70', '/a'), line(12, '0:71', '/media', 'fuse', 'master:3')])
    assert.deepEqual([fuse.paths(), connectionsOf(fuse, ['/a'])], [[], []])
  })

  it('are those with the number of a session of the machine that has ended', () => {
    const fuse = mounts([line(10, '0:70', '/home')], [line(10, '0:70', '/a', 'fuse', 'shared:4')])
    assert.deepEqual(connectionsOf(fuse, ['/a']), [70])
  })
})

describe('what is mounted on a private node after a snapshot of its mount table', () => {
  const line = (id: number, at: string, tags = '', type = 'tmpfs'): string => `${id} 1 0:${id} / ${at} rw ${tags} - ${type} s rw`
  const BEFORE = [line(1, '/', 'master:1', 'ext4'), line(2, '/var/lib/kubelet', 'shared:9'), line(3, '/run/service', '', 'fuse.s')]

  function points(added: readonly string[], read: 'made' | 'left'): readonly string[] {
    const tables = [BEFORE, [...BEFORE.slice(0, 2), ...added]].map((lines) => parseMountinfo(lines.join('\n')))
    const snapshot = new MountSnapshot(() => tables.shift() ?? [])
    return snapshot[read]().map(({ mountPoint }) => mountPoint)
  }

  it('is what a crash of the machine takes, but not what the machine itself has mounted', () => {
    const added = [
      line(10, '/var/lib/jfs', '', 'fuse.j'),
      line(11, '/var/lib/kubelet/pods/1/mount', 'shared:12 master:1'),
      line(12, '/var/lib/bound', 'master:1'),
      line(13, '/media/disk', 'master:30'),
    ]
    assert.deepEqual(points(added, 'made'), ['/var/lib/jfs', '/var/lib/kubelet/pods/1/mount', '/var/lib/bound'])
    assert.deepEqual(points(added, 'left'), ['/var/lib/jfs', '/var/lib/kubelet/pods/1/mount'])
  })

  it('is not left behind where the like of it was before', () => {
    assert.deepEqual(points([line(14, '/run/service', '', 'fuse.s')], 'left'), [])
    assert.deepEqual(points([line(14, '/run/service', '', 'fuse.t')], 'left'), ['/run/service'])
  })
})
