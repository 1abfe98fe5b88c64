import assert from 'node:assert/strict'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { ROOT } from './paths.ts'
import type { Sandbox } from './sandbox.ts'

/** A place of our source that is to be another one; `from` is there once. */
export interface SourceMutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** The text of the file with the place changed. */
function changed({ file, from, to }: SourceMutation): string {
  const text = readFileSync(join(ROOT, file), 'utf8')
  assert.equal(text.split(from).length, 2, `${file} has '${from}' not just once`)
  return text.replace(from, () => to)
}

/** What is loaded as it lies in node_modules. */
const NOT_BUNDLED = ['fuse-native', 'koffi', '@kubernetes/client-node']

/**
 * Our product with one place of its source changed, as an executable file. What it starts of itself is changed too. It is a bundle, which starts in a third of
 * the time of its source.
 */
export async function mutatedExecutable(sandbox: Sandbox, mutation: SourceMutation): Promise<string> {
  const root = sandbox.directory('mutated')
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
  const contents = changed(mutation)
  // Addons are looked for as from src/os.
  const folder = sandbox.directory('mutated', 'out', 'bundle')
  await build({
    entryPoints: [join(ROOT, 'src/main.ts')],
    ...{ bundle: true, splitting: true, platform: 'node', target: 'node24', format: 'esm', outdir: folder },
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)` },
    outExtension: { '.js': '.mjs' },
    external: NOT_BUNDLED,
    plugins: [
      {
        name: 'mutation',
        setup(building) {
          building.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) =>
            path === join(ROOT, mutation.file) ? { contents, loader: 'ts' } : undefined,
          )
        },
      },
    ],
  })
  const program = join(root, 'product')
  writeFileSync(program, `#!/bin/bash\nexec -a dummy-fuse-csi ${process.execPath} ${join(folder, 'main.mjs')} "$@"\n`, {
    mode: 0o755,
  })
  return program
}
