import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Sandbox } from '../support/sandbox.ts'
import type { PythonCases } from '../support/python-cases.ts'
import type { SharedMount } from '../support/shared-mount.ts'

/** Mounts dummyfs at a new directory of the sandbox, with mount options as `-o` takes them, and gives its path. */
export type MountBackend = (sandbox: Sandbox, options?: string) => Promise<string>

/** What is held to the cases. */
export interface Subject {
  /** The backend's name. */
  readonly backend: string
  readonly mount: MountBackend
  readonly python: () => PythonCases
}

/** What the file holds. */
export const HELLO = 'Hello world!\n'

/** Where a backend does something else than what is right, and cannot help it. */
interface Exception {
  readonly because: string
  readonly expected: unknown
}

export interface Case {
  /** Python that shows one value (support/python-cases.ts). */
  readonly code: string
  readonly expected: unknown
  /** By the backend's name. */
  readonly except?: Readonly<Record<string, Exception>>
}

/** Declares an it() for each case of a table, on a mount that none of them changes. */
export function pythonCases({ backend, python }: Subject, mounted: () => SharedMount, table: Readonly<Record<string, Case>>): void {
  for (const [title, { code, expected, except }] of Object.entries(table)) {
    const exception = except?.[backend]
    it(exception === undefined ? title : `${title}; ${backend} cannot: ${exception.because}`, async () => {
      assert.deepEqual(await python().show(mounted().path, code), exception === undefined ? expected : exception.expected)
    })
  }
}
