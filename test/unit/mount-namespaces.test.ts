import assert from 'node:assert/strict'
import { readlinkSync } from 'node:fs'
import { describe, it } from 'node:test'
import { deviceOf } from '../../src/os/mounts/mount-table.ts'
import { MountNamespaces, podOfPath } from '../../src/os/mounts/mount-namespaces.ts'
import { mount } from '../support/mounts.ts'
import { commOf, type Running, Sandbox } from '../support/sandbox.ts'
import { SilentMount } from '../support/silent-mount.ts'
import { eventually } from '../support/wait.ts'

const isWanted = (fsType: string): boolean => fsType === 'fuse.dummy-fuse'

/** A process in a mount namespace of its own, in which `script` has run. */
async function inNamespace(sandbox: Sandbox, script: string): Promise<Running> {
  const words = ['--mount', '--propagation', 'private', 'sh', '-c', `${script}; echo ready; exec sleep 600`]
  const running = sandbox.start('unshare', words)
  await eventually('its namespace is ready', () => running.output().includes('ready') && commOf(running.pid) === 'sleep')
  return running
}

async function search(): ReturnType<MountNamespaces['search']> {
  return await new MountNamespaces(isWanted, 0).search()
}

/** The mounts of a device that each process was found with, by its id; `own` for this process's namespace. */
async function foundMounts(device: string): Promise<Record<string, readonly string[]>> {
  const { namespaces } = await search()
  const mounts = namespaces.map(({ own, pid, mounts: all }) => {
    const of = all.filter((one) => one.device === device).map(({ mountPoint }) => mountPoint)
    return [own ? 'own' : String(pid), of] as const
  })
  return Object.fromEntries(mounts.filter(([, of]) => of.length > 0))
}

describe('MountNamespaces', () => {
  it('finds each namespace that has a mount, by one process, until that has ended', async () => {
    await using sandbox = new Sandbox()
    const path = sandbox.directory('mnt')
    using session = new SilentMount(path)
    const device = deviceOf(session.connection)
    const [bind, stacked] = [sandbox.directory('bind'), sandbox.directory('stacked')]
    const copy = await inNamespace(sandbox, `mount --bind ${path} ${bind}`)
    const without = await inNamespace(sandbox, `umount -l ${path}`)
    const covered = await inNamespace(sandbox, `mount -t tmpfs tmpfs ${path} && mount --bind ${sandbox.path} ${stacked}`)
    assert.deepEqual(await foundMounts(device), { own: [path], [copy.pid]: [path, bind] })
    const { namespaces } = await search()
    assert.equal(namespaces.find(({ pid }) => pid === copy.pid)?.name, 'sleep')
    assert.ok(without.pid !== covered.pid)
    copy.child.kill('SIGKILL')
    await copy.ended
    assert.deepEqual(await foundMounts(device), { own: [path] })
  })

  it('counts a search for as long as it is told', async () => {
    await using sandbox = new Sandbox()
    using session = new SilentMount(sandbox.directory('mnt'))
    const device = deviceOf(session.connection)
    const namespaces = new MountNamespaces(isWanted, 60_000)
    const first = await namespaces.search()
    mount('--bind', session.path, sandbox.directory('bind'))
    assert.equal(await namespaces.search(), first)
    assert.deepEqual((await foundMounts(device)).own?.length, 2)
  })

  it('says that all processes are seen where process 1 has the mount too', async () => {
    await using sandbox = new Sandbox()
    using session = new SilentMount(sandbox.directory('mnt'))
    const { whole } = await search()
    assert.equal(whole(deviceOf(session.connection)), true)
    const isFirst = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]'
    assert.equal(whole('0:999999'), isFirst)
  })
})

describe('podOfPath', () => {
  const uid = '0f5e6b1c-1111-2222-3333-0123456789ab'
  for (const [path, expected] of [
    [`/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~csi/v/mount`, uid],
    [`/data/kubelet/pods/${uid}/x`, uid],
    [`/var/lib/kubelet/plugins/${uid}/globalmount`, undefined],
    ['/pods/v/mount', undefined],
  ] as const)
    it(`is ${expected ?? 'none'} for ${path}`, () => {
      assert.equal(podOfPath(path), expected)
    })
})
