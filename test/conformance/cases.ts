import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PythonCases } from '../support/python-cases.ts'
import { Sandbox } from '../support/sandbox.ts'
import { shared, sharedMount } from '../support/shared-mount.ts'
import { ATTRIBUTES } from './attributes.ts'
import { HELLO, type MountBackend, pythonCases, type Subject } from './case.ts'
import { REFUSED, REFUSED_BEFORE } from './changes.ts'
import { DIRECTORIES } from './directories.ts'
import { ENGINES, fioReads } from './fio.ts'
import { mountOptions } from './options.ts'
import { OVERLAY, onOverlay } from './overlay.ts'
import { CHANGING, COPYING, LOOKING } from './programs.ts'
import { READING } from './reading.ts'
import { SHARING, UNMOUNTING } from './sharing.ts'
import { shell, shellCases } from './shell.ts'

export type { MountBackend } from './case.ts'

/** Holds a backend to all that dummyfs promises. Cases that only read share one mount. */
export function conformance(backend: string, mount: MountBackend): void {
  describe(`dummyfs over ${backend}`, () => {
    const subject: Subject = { backend, mount, python: shared((sandbox) => new PythonCases(sandbox)) }
    const mounted = sharedMount(mount)

    for (const [what, table] of Object.entries({
      attributes: ATTRIBUTES,
      directories: DIRECTORIES,
      reading: READING,
      sharing: SHARING,
    })) {
      describe(what, () => {
        pythonCases(subject, mounted, table)
      })
    }

    describe('programs', () => {
      shellCases({ ...LOOKING, ...COPYING }, mounted)
      for (const [engine, direct, depth] of ENGINES) {
        it(`fio reads the right bytes with ${engine}${direct ? ', past the page cache' : ''}`, async () => {
          await fioReads(mounted(), engine, direct, depth)
        })
      }
    })

    describe('an overlay with the mount as its lower layer', () => {
      for (const [title, one] of Object.entries(OVERLAY)) {
        it(title, async () => {
          await onOverlay(mounted(), one)
        })
      }
    })

    describe('changes are refused as a read-only file system refuses them', () => {
      pythonCases(subject, mounted, REFUSED)
      pythonCases(subject, mounted, REFUSED_BEFORE)
      for (const script of CHANGING) {
        it(`${script}: Read-only file system`, async () => {
          const { status, stderr } = await shell(mounted(), script)
          assert.notEqual(status, 0)
          assert.match(stderr, /Read-only file system/)
        })
      }
      it('after all of them the file is there as it was, and nothing beside it', async () => {
        const { stdout } = await shell(mounted(), 'ls -lA "$m"; cat "$f"')
        assert.equal(stdout, `total 0\n-r--r--r-- 1 root root 13 Jan  1  1970 dummy-file.txt\n${HELLO}`)
      })
    })

    describe('unmounting', () => {
      for (const [title, { code, expected }] of Object.entries(UNMOUNTING)) {
        it(title, async () => {
          await using sandbox = new Sandbox()
          const path = await mount(sandbox)
          assert.deepEqual(await subject.python().show(path, code), expected)
        })
      }
    })

    mountOptions(subject)
  })
}
