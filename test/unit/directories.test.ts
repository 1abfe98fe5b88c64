import assert from 'node:assert/strict'
import { existsSync, rmdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { SystemError } from '../../src/errors.ts'
import { makeDirectories, removeDirectories } from '../../src/os/mounts/directories.ts'
import { mount } from '../support/mounts.ts'
import { Sandbox } from '../support/sandbox.ts'

describe('makeDirectories', () => {
  it('makes what is missing, with its mode, and tells the first that it made', async () => {
    await using sandbox = new Sandbox()
    const path = join(sandbox.directory('there'), 'a', 'b', 'c')
    assert.equal(makeDirectories(path, 0o700), join(sandbox.path, 'there', 'a'))
    assert.equal(statSync(path).mode & 0o777, 0o700)
    assert.equal(makeDirectories(path), undefined)
    assert.equal(makeDirectories(`${path}/../c/`), undefined)
    removeDirectories(path, join(sandbox.path, 'there', 'a'))
    assert.ok(!existsSync(join(sandbox.path, 'there', 'a')))
    assert.ok(existsSync(join(sandbox.path, 'there')))
  })

  it('follows a symbolic link to a directory', async () => {
    await using sandbox = new Sandbox()
    sandbox.directory('real')
    symlinkSync('real', join(sandbox.path, 'link'))
    makeDirectories(join(sandbox.path, 'link', 'below'))
    assert.ok(existsSync(join(sandbox.path, 'real', 'below')))
    assert.equal(makeDirectories(join(sandbox.path, 'link')), undefined)
  })

  const failures: Readonly<Record<string, (sandbox: Sandbox) => readonly [path: string, at: string, code: string]>> = {
    'below a mounted directory that was removed': (sandbox) => {
      const [folder, mounted] = [sandbox.directory('folder'), sandbox.directory('mounted')]
      mount('--bind', folder, mounted)
      rmdirSync(folder)
      return [join(mounted, 'x', 'y'), join(mounted, 'x'), 'ENOENT']
    },
    'below a process of /proc': () => ['/proc/1/x/y', '/proc/1/x', 'ENOENT'],
    'below a dangling symbolic link': (sandbox) => {
      symlinkSync('nowhere', join(sandbox.path, 'link'))
      return [join(sandbox.path, 'link', 'x', 'y'), join(sandbox.path, 'link', 'x'), 'ENOENT']
    },
    'at a dangling symbolic link': (sandbox) => {
      const link = join(sandbox.path, 'link')
      symlinkSync('nowhere', link)
      return [link, link, 'ENOENT']
    },
    'below symbolic links in a circle': (sandbox) => {
      symlinkSync('loop', join(sandbox.path, 'loop'))
      return [join(sandbox.path, 'loop', 'x', 'y'), join(sandbox.path, 'loop', 'x'), 'ELOOP']
    },
    'below a file': (sandbox) => {
      writeFileSync(join(sandbox.path, 'file'), '')
      return [join(sandbox.path, 'file', 'x', 'y'), join(sandbox.path, 'file', 'x'), 'ENOTDIR']
    },
    'at a file': (sandbox) => {
      writeFileSync(join(sandbox.path, 'file'), '')
      return [join(sandbox.path, 'file'), join(sandbox.path, 'file'), 'ENOTDIR']
    },
    'with a name that is too long, and removes what it made': (sandbox) => {
      const long = join(sandbox.path, 'made', 'n'.repeat(256))
      return [join(long, 'x'), long, 'ENAMETOOLONG']
    },
  }
  for (const [title, make] of Object.entries(failures)) {
    it(`ends ${title}`, async () => {
      await using sandbox = new Sandbox()
      const [path, at, code] = make(sandbox)
      assert.throws(
        () => makeDirectories(path),
        (error) => error instanceof SystemError && error.code === code && error.path === at,
      )
      assert.ok(!existsSync(join(sandbox.path, 'made')))
    })
  }
})
