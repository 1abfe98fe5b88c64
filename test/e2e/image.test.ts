import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import NAMES from '../../packaging/names.json' with { type: 'json' }

const MIB = 1024 * 1024
const REFERENCE = 'localhost/dummy-fuse-csi:1.2.3'

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

async function makeImage(sandbox: Sandbox, name: string, umask: string): Promise<string> {
  const output = join(sandbox.path, `${name}.tar`)
  const parts = {
    executable: EXECUTABLE,
    programs: NAMES,
    reference: REFERENCE,
    version: '1.2.3',
    commit: 'abc',
    folder: join(sandbox.path, name),
    output,
  }
  const code = `import { makeImage } from ${JSON.stringify(join(ROOT, 'packaging/image.mjs'))}; await makeImage(${JSON.stringify(parts)})`
  const command = `umask ${umask}; exec "$0" --input-type=module -e "$1"`
  const made = await sandbox.run('sh', ['-c', command, process.execPath, code], { timeout: 120_000 })
  assert.equal(made.status, 0, made.stderr)
  return output
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

describe('the image', () => {
  const sandbox = new Sandbox()
  const layout = join(sandbox.path, 'layout')
  const root = join(sandbox.path, 'root')
  let image = ''

  const json = (name: string): unknown => JSON.parse(readFileSync(join(layout, name), 'utf8'))
  const blob = ({ digest }: Descriptor): string => `blobs/${digest.replace(':', '/')}`
  const run = async (
    ...command: string[]
  ): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> =>
    await sandbox.run('unshare', ['--mount', '--propagation', 'private', 'chroot', root, ...command])

  before(async () => {
    image = await makeImage(sandbox, 'first', '022')
    for (const folder of [layout, root]) mkdirSync(folder)
    assert.equal((await sandbox.run('tar', ['-C', layout, '-xf', image])).status, 0)
    const [manifest = assert.fail('no manifest')] = (json('index.json') as { manifests: Descriptor[] }).manifests
    const { layers } = json(blob(manifest)) as { layers: Descriptor[] }
    for (const layer of layers) assert.equal((await sandbox.run('tar', ['-C', root, '-xzf', join(layout, blob(layer))])).status, 0)
  })
  after(async () => {
    await sandbox[Symbol.asyncDispose]()
  })

  it('has the same bytes when it is made again, under another umask', async () => {
    const again = await makeImage(sandbox, 'second', '077')
    assert.equal(sha256(again), sha256(image))
    assert.deepEqual(
      readdirSync(sandbox.path).filter((name) => /^(first|second)$|partial/.test(name)),
      [],
    )
  })

  it('is at most 140 MB', () => {
    assert.ok(statSync(image).size <= 140 * MIB, `${statSync(image).size} bytes`)
  })

  it('is an OCI layout whose digests and sizes are right, with a manifest for docker load', () => {
    assert.deepEqual(json('oci-layout'), { imageLayoutVersion: '1.0.0' })
    const { manifests } = json('index.json') as { manifests: (Descriptor & { annotations: Record<string, string> })[] }
    assert.equal(manifests.length, 1)
    const [manifest = assert.fail()] = manifests
    assert.equal(manifest.annotations['io.containerd.image.name'], REFERENCE)
    assert.equal(manifest.annotations['org.opencontainers.image.ref.name'], '1.2.3')
    const { config, layers } = json(blob(manifest)) as { config: Descriptor; layers: Descriptor[] }
    for (const one of [manifest, config, ...layers]) {
      assert.equal(`sha256:${sha256(join(layout, blob(one)))}`, one.digest)
      assert.equal(statSync(join(layout, blob(one))).size, one.size)
    }
    const { config: runtime, rootfs } = json(blob(config)) as { config: { Entrypoint: string[] }; rootfs: { diff_ids: string[] } }
    assert.deepEqual(runtime.Entrypoint, ['/bin/dummy-fuse-csi'])
    assert.equal(rootfs.diff_ids.length, layers.length)
    assert.deepEqual(json('manifest.json'), [{ Config: blob(config), RepoTags: [REFERENCE], Layers: layers.map(blob) }])
  })

  for (const program of ['dummy-fuse-csi', ...NAMES]) {
    it(`runs ${program} by its name`, async () => {
      const { status, stdout, stderr } = await run(`/bin/${program}`, '--version')
      assert.equal(status, 0, stderr)
      // Most are programs of dummy-fuse-csi that have a name of their own too.
      const words = stdout.split(' ').slice(0, 2)
      assert.ok(words[0] === program || program.endsWith(`-${words[1]}`), stdout)
    })
  }

  it('has the same names when it is made by the Dockerfile', () => {
    const [, list = ''] = /for program in (.*); do/.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')) ?? []
    assert.deepEqual(list.split(' '), NAMES)
  })

  it('has what people look at a mount with, and what the plugin asks one with', async () => {
    const look = `mount -t proc proc /proc && mount -t tmpfs none /mnt && mount | grep /mnt; ls -l /mnt; stat -f -c '%S %b %f %a %c %d' /mnt`
    const { status, stdout, stderr } = await run('/bin/sh', '-c', look)
    assert.equal(status, 0, stderr)
    assert.match(stdout, /none on \/mnt type tmpfs .*\ntotal 0\n\d+ \d+ \d+ \d+ \d+ \d+\n$/)
  })

  it('brings the notices of all that it holds', async () => {
    assert.match((await run('/bin/dummy-fuse-csi', 'licenses')).stdout, /libfuse/)
    const doc = join(root, 'usr/share/doc')
    assert.deepEqual(readdirSync(doc).sort(), ['busybox-static', 'libc6', 'libgcc-s1', 'libstdc++6'])
    for (const name of readdirSync(doc)) assert.match(readFileSync(join(doc, name, 'copyright'), 'utf8'), /GPL/)
  })
})
