// Makes an OCI image archive of the executable, without a registry, a daemon or root. The same files give the same bytes.
import { execFileSync, spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { sha256Of } from './sha256.mjs'

const BUSYBOX = '/bin/busybox'

/** Folders that are mount points or are written into; the others follow from the files. */
const FOLDERS = { proc: 0o755, sys: 0o755, dev: 0o755, run: 0o755, tmp: 0o1777, 'var/lib': 0o755, mnt: 0o755, root: 0o700 }

const FILES = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
}

/** Debian's packages of which the image holds a file; their notices come along. */
const PACKAGES = ['busybox-static', 'libc6', 'libgcc-s1', 'libstdc++6']

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Writes the archive `output`: OCI image layout 1.0, which `ctr images import` reads, with the manifest.json that `docker load` reads before Docker 25. The
 * image has the executable and the shared libraries that ldd names, a symbolic link in /bin for each of `programs`, and busybox for a shell, ls, mount
 * and stat. `reference`: its name with a tag. `folder` is for what comes in between, and is emptied. Throws an Error that names what is missing here.
 */
export async function makeImage({ executable, programs, reference, version, commit, folder, output }) {
  await rm(folder, { recursive: true, force: true })
  const root = join(folder, 'rootfs')
  await makeRoot(root, executable, programs)
  const layer = join(folder, 'layer.tar')
  tar(root, layer)
  const diffId = await sha256Of(layer)
  await pipeline(createReadStream(layer), createGzip({ level: 6 }), createWriteStream(`${layer}.gz`))
  await rm(layer)

  const layout = join(folder, 'layout')
  const blobs = join(layout, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const blob = async (mediaType, file) => {
    const digest = await sha256Of(file)
    const { size } = await stat(file)
    await rename(file, join(blobs, digest))
    return { mediaType, digest: `sha256:${digest}`, size }
  }
  const json = async (mediaType, value) => {
    const file = join(folder, 'blob.json')
    await writeFile(file, JSON.stringify(value))
    return await blob(mediaType, file)
  }
  const layers = [await blob('application/vnd.oci.image.layer.v1.tar+gzip', `${layer}.gz`)]
  const config = await json('application/vnd.oci.image.config.v1+json', {
    created: '1970-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: {
      Entrypoint: ['/bin/dummy-fuse-csi'],
      Env: [`PATH=${PATH}`],
      Labels: { 'org.opencontainers.image.version': version, 'org.opencontainers.image.revision': commit },
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${diffId}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'build.mjs --image' }],
  })
  const manifest = await json('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers,
  })
  const annotations = { 'io.containerd.image.name': reference, 'org.opencontainers.image.ref.name': reference.split(':').at(-1) }
  const files = {
    'oci-layout': { imageLayoutVersion: '1.0.0' },
    'index.json': {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [{ ...manifest, platform: { architecture: 'amd64', os: 'linux' }, annotations }],
    },
    'manifest.json': [{ Config: blobPath(config), RepoTags: [reference], Layers: layers.map(blobPath) }],
  }
  for (const [name, value] of Object.entries(files)) await writeFile(join(layout, name), JSON.stringify(value))
  tar(layout, `${output}.partial`, ['--mode=u=rwX,go=rX'])
  await rename(`${output}.partial`, output)
  await rm(folder, { recursive: true })
}

async function makeRoot(root, executable, programs) {
  await folderOf(root, 'bin', 0o755)
  for (const [name, mode] of Object.entries(FOLDERS)) await folderOf(root, name, mode)
  for (const [name, text] of Object.entries(FILES)) {
    await folderOf(root, dirname(name), 0o755)
    await writeFile(join(root, name), text)
    await chmod(join(root, name), 0o644)
  }
  if (!existsSync(BUSYBOX) || spawnSync('ldd', [BUSYBOX]).status === 0)
    throw new Error(`${BUSYBOX} is no static program; install Debian's package busybox-static`)
  await put(root, BUSYBOX, BUSYBOX, 0o755)
  for (const applet of execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).split('\n'))
    if (applet !== '' && applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet))
  await put(root, executable, '/bin/dummy-fuse-csi', 0o755)
  for (const name of programs) await symlink('dummy-fuse-csi', join(root, 'bin', name))
  for (const library of librariesOf(executable)) await put(root, library, library, 0o755)
  for (const name of PACKAGES) {
    const notice = `/usr/share/doc/${name}/copyright`
    await put(root, notice, notice, 0o644)
  }
}

/** The dynamic linker and the shared libraries of a program, by the paths at which they are looked for. */
function librariesOf(program) {
  const listed = execFileSync('ldd', [program], { encoding: 'utf8' })
  const missing = /^\s*(\S+) => not found$/m.exec(listed)
  if (missing !== null) throw new Error(`${program} needs ${missing[1]}, which is not installed here`)
  return [...listed.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, path]) => path)
}

async function put(root, from, to, mode) {
  await folderOf(root, dirname(to), 0o755)
  await copyFile(from, join(root, to))
  await chmod(join(root, to), mode)
}

/** Makes a folder of the image, whatever the umask is. */
async function folderOf(root, path, mode) {
  let made = root
  for (const name of ['', ...path.split('/').filter(Boolean)]) {
    made = join(made, name)
    if (existsSync(made)) continue
    await mkdir(made, { recursive: true })
    await chmod(made, 0o755)
  }
  if (mode !== 0o755) await chmod(made, mode)
}

/** In the order of names, and without what the machine, the user and the time would bring in. */
function tar(folder, output, modes = []) {
  const same = ['--sort=name', '--format=gnu', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', ...modes]
  execFileSync('tar', [...same, '-C', folder, '-cf', output, '.'], { stdio: ['ignore', 'inherit', 'inherit'] })
}

function blobPath({ digest }) {
  return `blobs/${digest.replace(':', '/')}`
}
