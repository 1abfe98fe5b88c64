import assert from 'node:assert/strict'
import { existsSync, readdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { HostError, QueuedError } from '../../src/hosts/host.ts'
import { probe } from '../../src/os/mounts/probe.ts'
import type { PublishedEntry, StagedEntry } from '../../src/volumes/mount-cache-entry.ts'
import { type StageRequest, Stager } from '../../src/volumes/stager.ts'
import { layersAt, mount, mountAt, optionsAt, umountLazily } from '../support/mounts.ts'
import { BOOT } from '../support/session-records.ts'
import { SilentMount } from '../support/silent-mount.ts'
import { alive, VolumeParts } from '../support/volume-parts.ts'

const GRACE = 1234
const CAPABILITY = { accessMode: 'SINGLE_NODE_WRITER', fsType: '', mountFlags: ['noexec'] }
const OTHER_CAPABILITY = { ...CAPABILITY, mountFlags: [] }

/** A stager; the volume `v` is to be staged at `staging/v`, whose parent is missing too. */
class StagerInTest extends VolumeParts {
  readonly stager = new Stager({ ...this.common, host: this.host, grace: GRACE })
  readonly staging = this.path('staging', 'v')
  readonly request: StageRequest = { volumeId: 'v', stagingPath: this.staging, capability: CAPABILITY }

  entry(change: Partial<StagedEntry> = {}): StagedEntry {
    const { volumeId, stagingPath, capability } = this.request
    return { version: 1, kind: 'staged', bootId: BOOT, volumeId, stagingPath, capability, madeDirectory: true, ...change }
  }

  target(targetPath: string, volumeId = 'v'): PublishedEntry {
    const { stagingPath, capability } = this.request
    return { version: 1, kind: 'published', bootId: BOOT, volumeId, stagingPath, targetPath, capability, readonly: false }
  }

  /** Stages the volume, and forgets what the host was asked for; returns its device. */
  async staged(): Promise<string> {
    await this.stager.stage(this.request, this.call)
    this.host.asked.splice(0)
    return this.host.device(this.staging)
  }

  /** Shows that nothing is staged: no mount, entry or directory. */
  nothingLeft(): void {
    assert.deepEqual([layersAt(this.staging), this.cache.staged(), existsSync(this.path('staging'))], [[], [], false])
  }
}

/** A stager whose volume is staged and bound at a target, and was unmounted at its staging path by somebody else. */
async function unmounted(
  ask: typeof probe = alive,
): Promise<{ readonly used: StagerInTest; readonly target: string; readonly device: string }> {
  const used = new StagerInTest(ask)
  const device = await used.staged()
  const target = used.sandbox.directory('target')
  mount('--bind', used.staging, target)
  used.cache.save(used.target(target))
  umountLazily(used.staging)
  used.host.unmounted = device
  return { used, target, device }
}

describe('Stager, where a session runs that was unmounted at the staging path,', () => {
  for (const call of ['stage', 'ensure'] as const) {
    it(`binds it back from a target: ${call}`, async () => {
      const { used, target, device } = await unmounted()
      await using _ = used
      if (call === 'ensure') assert.equal(await used.stager.ensure(used.request, used.call), device)
      else await used.stager.stage(used.request, used.call)
      assert.deepEqual([mountAt(used.staging).device, mountAt(target).device, used.host.asked], [device, device, []])
      assert.deepEqual(optionsAt(used.staging).slice(0, 4), ['rw', 'nosuid', 'nodev', 'noexec'])
    })
  }

  it('makes the directory for that where it is missing, and says so in the entry', async () => {
    const { used, device } = await unmounted()
    await using _ = used
    rmdirSync(used.staging)
    await used.stager.stage(used.request, used.call)
    assert.deepEqual([mountAt(used.staging).device, used.cache.staged()], [device, [used.entry()]])
  })

  it('takes that off again where the entry cannot be written, and the consumers keep it', async () => {
    const { used, target, device } = await unmounted()
    await using _ = used
    rmSync(used.cache.folder('staged'), { recursive: true })
    writeFileSync(used.cache.folder('staged'), 'a file where the folder was')
    rmdirSync(used.staging)
    const changed = { ...used.request, capability: OTHER_CAPABILITY }
    await assert.rejects(used.stager.stage(changed, used.call), { code: 'ENOTDIR' })
    assert.deepEqual([existsSync(used.staging), layersAt(used.staging), mountAt(target).device], [false, [], device])
    assert.deepEqual(used.host.asked, [])
  })

  it('has the host mount where no target has it', async () => {
    const { used, target } = await unmounted()
    await using _ = used
    umountLazily(target)
    await used.stager.stage(used.request, used.call)
    assert.deepEqual(used.host.asked, [`start ${used.staging} noexec`])
  })

  it('has the host mount where it does not answer', async () => {
    const { used } = await unmounted(probe)
    await using _ = used
    used.host.kill(used.staging)
    await used.stager.stage(used.request, used.call)
    assert.deepEqual(used.host.asked, [`start ${used.staging} noexec`])
  })
})

describe('Stager.stage', () => {
  it('makes the directory, has the host mount, and writes the entry; once', async () => {
    await using used = new StagerInTest()
    await used.stager.stage(used.request, used.call)
    assert.equal(mountAt(used.staging).device, used.host.device(used.staging))
    assert.deepEqual(used.cache.staged(), [used.entry()])
    assert.match(used.lines.join(), /^Saved stage mount entry to .*\/mountcache\/staged\/v-[^/]*\.json$/)
    await used.stager.stage(used.request, used.call)
    assert.deepEqual(used.host.asked, [`start ${used.staging} noexec`])
    assert.equal(used.lines.length, 1)
  })

  it('refuses a live session that was staged with another capability', async () => {
    await using used = new StagerInTest()
    const device = await used.staged()
    await assert.rejects(used.stager.stage({ ...used.request, capability: OTHER_CAPABILITY }, used.call), {
      kind: 'conflict',
      message: `volume v is staged at ${used.staging} with another capability; unstage it first`,
    })
    assert.deepEqual([mountAt(used.staging).device, used.host.asked], [device, []])
  })

  it('refuses a path that holds another volume, a target, or what is none of its own', async () => {
    await using used = new StagerInTest()
    const foreign = used.sandbox.directory('foreign')
    mount('-t', 'tmpfs', 'tmpfs', foreign)
    writeFileSync(used.path('file'), '')
    used.cache.save(used.entry({ volumeId: 'other', stagingPath: used.path('other') }))
    used.cache.save(used.target(used.path('target'), 'other'))
    for (const [path, message] of [
      ['other', /\/other is the staging path of volume other; a path holds one volume$/],
      ['target', /\/target is a target of volume other; a path holds one volume$/],
      ['foreign', /\/foreign is a mount point of tmpfs already; unmount that first$/],
      ['file', /\/file is a file, not a directory/],
    ] as const) {
      const staging = used.stager.stage({ ...used.request, stagingPath: used.path(path) }, used.call)
      await assert.rejects(staging, { kind: 'precondition', message })
    }
    assert.deepEqual([used.host.asked, used.cache.stagedAt(foreign)], [[], undefined])
  })

  it('touches nothing below a mount that is dead', async () => {
    await using used = new StagerInTest()
    using above = new SilentMount(used.sandbox.directory('staging'))
    above.die()
    await assert.rejects(used.stager.stage(used.request, used.call), {
      kind: 'precondition',
      message: new RegExp(`^${used.staging} lies on ${above.path}, a dead fuse.dummy-fuse mount; `),
    })
    assert.deepEqual(used.host.asked, [])
  })

  for (const [failure, kind] of [
    ['failed', 'internal'],
    ['timeout', 'timeout'],
    ['unavailable', 'unavailable'],
    ['exhausted', 'exhausted'],
    ['precondition', 'precondition'],
    ['conflict', 'conflict'],
  ] as const) {
    it(`undoes a mount whose host says ${failure}, its directories too`, async () => {
      await using used = new StagerInTest()
      let device = ''
      used.host.starting = (mounted) => {
        mounted()
        device = used.host.device(used.staging)
        throw new HostError(failure, 'as the test wants it')
      }
      await assert.rejects(used.stager.stage(used.request, used.call), {
        name: 'VolumeError',
        kind,
        message: `cannot mount ${used.staging}: as the test wants it`,
      })
      assert.deepEqual(used.host.asked.slice(1), [`stop ${used.staging} ${device} 0`])
      used.nothingLeft()
    })
  }

  it('stops no daemon for a call that is still in the queue, and removes what it made', async () => {
    await using used = new StagerInTest()
    used.host.starting = () => {
      throw new QueuedError('3 others are before it')
    }
    await assert.rejects(used.stager.stage(used.request, used.call), { kind: 'unavailable' })
    assert.equal(used.host.asked.length, 1)
    used.nothingLeft()
  })

  it('is unavailable where nothing shows after the host has mounted', async () => {
    await using used = new StagerInTest()
    used.host.starting = () => undefined
    await assert.rejects(used.stager.stage(used.request, used.call), { kind: 'unavailable', message: /shows no mount after/ })
    assert.deepEqual(used.host.asked.slice(1), [`stop ${used.staging} nothing 0`])
    used.nothingLeft()
  })

  it('undoes a mount whose entry cannot be written', async () => {
    await using used = new StagerInTest()
    rmdirSync(used.cache.folder('staged'))
    writeFileSync(used.cache.folder('staged'), 'a file where the folder was')
    await assert.rejects(used.stager.stage(used.request, used.call), { code: 'ENOTDIR' })
    used.nothingLeft()
    assert.equal(used.host.asked.length, 2)
  })

  it('begins nothing for a call that is over, and undoes what one has mounted that ends meanwhile', async () => {
    await using used = new StagerInTest()
    used.host.starting = (mounted) => {
      mounted()
      used.call.cancel()
    }
    await assert.rejects(used.stager.stage(used.request, used.call), { name: 'CallEnded', kind: 'cancelled' })
    used.nothingLeft()
    used.host.asked.splice(0)
    await assert.rejects(used.stager.stage(used.request, used.call), { name: 'CallEnded' })
    assert.deepEqual(used.host.asked, [])
    used.nothingLeft()
  })

  it('says what cannot be undone, and why the mount failed', async () => {
    await using used = new StagerInTest()
    used.host.starting = () => {
      throw new HostError('failed', 'no device')
    }
    used.host.stopFailure = new HostError('unavailable', 'process 7 does not end')
    await assert.rejects(used.stager.stage(used.request, used.call), { message: `cannot mount ${used.staging}: no device` })
    assert.deepEqual(used.lines, [`cannot undo the failed mount at ${used.staging}: process 7 does not end`])
  })

  it('takes a dead session off, and ends its daemon, before it mounts another', async () => {
    await using used = new StagerInTest()
    const dead = await used.staged()
    used.host.kill(used.staging)
    const layers: number[] = []
    used.host.stopping = () => layers.push(layersAt(used.staging).length)
    used.host.starting = (mounted) => {
      layers.push(layersAt(used.staging).length)
      mounted()
    }
    await used.stager.stage(used.request, used.call)
    assert.deepEqual(used.host.asked, [`stop ${used.staging} ${dead} 0`, `start ${used.staging} noexec`])
    assert.deepEqual([...layers, layersAt(used.staging).length], [0, 0, 1])
    assert.equal(mountAt(used.staging).device, used.host.device(used.staging))
    assert.deepEqual(used.linesOfMounts(), [`umount ${used.staging} (dead)`])
    assert.deepEqual(used.cache.staged(), [used.entry()])
  })

  it('replaces a session whose own daemon is stopped, and waits for one that serves other volumes', async () => {
    await using used = new StagerInTest()
    const hung = await used.staged()
    used.host.stopped.add(used.staging)
    used.host.serves = { serves: 'many' }
    await assert.rejects(used.stager.stage(used.request, used.call), {
      kind: 'unavailable',
      message: `${used.staging} waits for a dummy-fused that is stopped and serves other volumes too; resume or end that (its process is in 'dummy-fuse-csi status')`,
    })
    assert.deepEqual([mountAt(used.staging).device, used.host.asked], [hung, []])
    used.host.serves = {}
    await used.stager.stage(used.request, used.call)
    assert.equal(used.host.asked[0], `stop ${used.staging} ${hung} 0`)
    assert.deepEqual(used.linesOfMounts(), [`umount ${used.staging} (hung)`])
  })

  it('keeps a session that hangs while no daemon can be asked whether it serves it, and when one says so later', async () => {
    await using used = new StagerInTest(() => {
      // The daemon comes back while the mount is asked, from the second call on.
      used.host.away = !used.linesOfMounts().includes('come back')
      return Promise.resolve({ kind: 'hung', gone: Promise.resolve() })
    })
    const device = await used.staged()
    used.host.away = true
    const refused = async (why: string): Promise<void> =>
      await assert.rejects(used.stager.stage(used.request, used.call), {
        kind: 'unavailable',
        message: `${used.staging} does not answer: ${why}`,
      })
    await refused('no daemon runs')
    used.log.info('come back')
    await refused('it is served again; call again')
    await used.stager.stage(used.request, used.call)
    assert.deepEqual([mountAt(used.staging).device, used.host.asked], [device, []])
  })

  it('keeps a session when its daemon cannot be ended: nothing new is mounted', async () => {
    await using used = new StagerInTest()
    await used.staged()
    used.host.kill(used.staging)
    used.host.stopFailure = new HostError('unavailable', 'process 7 does not end')
    await assert.rejects(used.stager.stage(used.request, used.call), {
      kind: 'unavailable',
      message: `cannot end the daemon of ${used.staging}: process 7 does not end`,
    })
    assert.equal(used.host.asked.length, 1)
  })

  it('writes the entry of a live session that has none, and of an earlier boot, and keeps who made the directory', async () => {
    await using used = new StagerInTest()
    await used.staged()
    used.cache.remove(used.entry())
    await used.stager.stage(used.request, used.call)
    assert.deepEqual(used.cache.staged(), [used.entry({ madeDirectory: false })])
    used.cache.save(used.entry({ bootId: 'the boot before' }))
    await used.stager.stage(used.request, used.call)
    assert.deepEqual(used.cache.staged(), [used.entry()])
    assert.deepEqual(used.host.asked, [])
  })

  it('takes no bind of another session for its own', async () => {
    await using used = new StagerInTest(alive)
    await used.staged()
    const bind = used.sandbox.directory('bind')
    used.bind(used.staging, bind)
    const request = { ...used.request, volumeId: 'w', stagingPath: bind }
    await assert.rejects(used.stager.stage(request, used.call), {
      kind: 'precondition',
      message: `${bind} is a bind of another session already; unmount that first`,
    })
    used.cache.remove(used.entry())
    await assert.rejects(used.stager.stage(request, used.call), {
      kind: 'unavailable',
      message: `${bind} shows a session that no daemon of this plugin is known to serve; call again, or unmount it`,
    })
    assert.deepEqual(used.cache.staged(), [])
  })
})

describe('Stager.ensure', () => {
  it('gives the device of a live session, and mounts a dead one as it was staged', async () => {
    await using used = new StagerInTest()
    const other = { ...used.request, capability: OTHER_CAPABILITY }
    const device = await used.staged()
    assert.equal(await used.stager.ensure(other, used.call), device)
    assert.equal(used.host.asked.length, 0)
    used.host.kill(used.staging)
    const anew = await used.stager.ensure(other, used.call)
    assert.equal(anew, used.host.device(used.staging))
    assert.equal(used.host.asked.at(-1), `start ${used.staging} noexec`)
    assert.deepEqual(used.cache.staged(), [used.entry()])
  })

  it('mounts what was never staged as it is asked for', async () => {
    await using used = new StagerInTest()
    const device = await used.stager.ensure(used.request, used.call)
    assert.deepEqual([mountAt(used.staging).device, used.cache.staged()], [device, [used.entry()]])
  })
})

describe('Stager.restore', () => {
  it('mounts what is missing, and tells whether it had to', async () => {
    await using used = new StagerInTest()
    const entry = used.entry({ bootId: 'the boot before' })
    used.cache.save(entry)
    assert.equal(await used.stager.restore(entry, used.call), true)
    assert.deepEqual(used.cache.staged(), [used.entry()])
    assert.equal(await used.stager.restore(used.entry(), used.call), false)
    assert.equal(used.host.asked.length, 1)
  })
})

describe('Stager.unstage', () => {
  it('takes the session off, removes the entry, ends the daemon with its grace, and removes the directory it made', async () => {
    await using used = new StagerInTest()
    const device = await used.staged()
    await used.stager.unstage('v', used.staging, used.call)
    assert.deepEqual(used.host.asked, [`stop ${used.staging} ${device} ${GRACE}`])
    assert.deepEqual([layersAt(used.staging), used.cache.staged(), existsSync(used.staging)], [[], [], false])
    // Its parent was there for the CO to see.
    assert.ok(existsSync(used.path('staging')))
    await used.stager.unstage('v', used.staging, used.call)
    assert.equal(used.host.asked.at(-1), `stop ${used.staging} nothing ${GRACE}`)
  })

  it('keeps a directory that was there before', async () => {
    await using used = new StagerInTest()
    used.sandbox.directory('staging', 'v')
    await used.staged()
    assert.deepEqual(used.cache.staged(), [used.entry({ madeDirectory: false })])
    await used.stager.unstage('v', used.staging, used.call)
    assert.ok(existsSync(used.staging))
  })

  it('refuses what is another volume’s, a target, or still published', async () => {
    await using used = new StagerInTest()
    const device = await used.staged()
    await assert.rejects(used.stager.unstage('w', used.staging, used.call), {
      kind: 'precondition',
      message: `${used.staging} is the staging path of volume v, not of w`,
    })
    const target = used.sandbox.directory('target')
    used.bind(used.staging, target)
    used.cache.save(used.target(target))
    await assert.rejects(used.stager.unstage('v', target, used.call), {
      kind: 'precondition',
      message: `${target} is a target of volume v; unpublish it`,
    })
    await assert.rejects(used.stager.unstage('v', used.staging, used.call), {
      kind: 'precondition',
      message: `volume v is still published at ${target}; unpublish it there first`,
    })
    assert.deepEqual([mountAt(used.staging).device, used.host.asked, used.cache.staged().length], [device, [], 1])
  })

  it('is not kept by the entry of a target that is unmounted already', async () => {
    await using used = new StagerInTest()
    await used.staged()
    used.cache.save(used.target(used.sandbox.directory('target')))
    await used.stager.unstage('v', used.staging, used.call)
    assert.deepEqual(used.cache.staged(), [])
  })

  it('takes off a mount of another type where it has an entry, and only there', async () => {
    await using used = new StagerInTest()
    used.sandbox.directory('staging', 'v')
    mount('-t', 'tmpfs', 'tmpfs', used.staging)
    await assert.rejects(used.stager.unstage('v', used.staging, used.call), { kind: 'precondition', message: /has not mounted/ })
    assert.equal(mountAt(used.staging).fsType, 'tmpfs')
    used.cache.save(used.entry({ madeDirectory: false }))
    await used.stager.unstage('v', used.staging, used.call)
    assert.deepEqual(layersAt(used.staging), [])
  })

  it('is not staged any more although its daemon does not end, and removes the directory the next time', async () => {
    await using used = new StagerInTest()
    await used.staged()
    used.host.stopFailure = new HostError('unavailable', 'process 7 does not end')
    await assert.rejects(used.stager.unstage('v', used.staging, used.call), {
      kind: 'unavailable',
      message: `cannot end the daemon of ${used.staging}: process 7 does not end`,
    })
    assert.deepEqual([layersAt(used.staging), used.cache.staged(), existsSync(used.staging)], [[], [], true])
    await used.stager.unstage('v', used.staging, used.call)
    assert.equal(existsSync(used.staging), false)
  })

  it('does not answer before the removal is on the disk, and removes the directory the next time', async () => {
    await using used = new StagerInTest()
    await used.staged()
    const folder = used.cache.folder('staged')
    used.host.starting = () => undefined
    const [file = ''] = readdirSync(folder)
    rmSync(join(folder, file))
    renameSync(folder, used.path('away'))
    await assert.rejects(used.stager.unstage('v', used.staging, used.call), /ENOENT|no such file/)
    assert.deepEqual([layersAt(used.staging), existsSync(used.staging)], [[], true])
    renameSync(used.path('away'), folder)
    await used.stager.unstage('v', used.staging, used.call)
    assert.equal(existsSync(used.staging), false)
  })

  it('keeps files that lie in the directory it made, and says so', async () => {
    await using used = new StagerInTest()
    await used.staged()
    // Written where nothing was mounted.
    const bare = used.sandbox.directory('bare')
    used.bind(used.path('staging'), bare)
    writeFileSync(join(bare, 'v', 'file'), 'of a pod')
    await assert.rejects(used.stager.unstage('v', used.staging, used.call), {
      kind: 'precondition',
      message: /holds files on the node's own disk, which belong to no volume; move them away$/,
    })
    assert.deepEqual([layersAt(used.staging), used.cache.staged()], [[], []])
    assert.ok(existsSync(join(used.staging, 'file')))
    // It remembers that the directory is its own over a new stage.
    await used.staged()
    assert.deepEqual(used.cache.staged(), [used.entry()])
  })

  it('unmounts nothing for a call that is over', async () => {
    await using used = new StagerInTest()
    const device = await used.staged()
    used.call.cancel()
    await assert.rejects(used.stager.unstage('v', used.staging, used.call), { name: 'CallEnded' })
    assert.deepEqual([mountAt(used.staging).device, used.host.asked], [device, []])
  })
})
