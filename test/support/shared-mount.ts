import { after, before } from 'node:test'
import { Sandbox } from './sandbox.ts'

/** One mount that several cases use. */
export interface SharedMount {
  readonly sandbox: Sandbox
  readonly path: string
}

/** Mounts before the first case of the describe() that it is called in, and takes it down after the last. Gives a function for the cases. */
export function sharedMount(mount: (sandbox: Sandbox) => Promise<string>): () => SharedMount {
  return shared(async (sandbox) => ({ sandbox, path: await mount(sandbox) }))
}

/**
 * Makes something in a sandbox before the first case of the describe() that it is called in; the sandbox ends after the last case, whether
 * they pass or fail. Gives a function for the cases, which throws if there is nothing.
 */
export function shared<T>(make: (sandbox: Sandbox) => T | Promise<T>): () => T {
  let sandbox: Sandbox | undefined
  let made: { readonly value: T } | undefined
  before(async () => {
    sandbox = new Sandbox()
    made = { value: await make(sandbox) }
  })
  after(async () => {
    await sandbox?.[Symbol.asyncDispose]()
  })
  return () => {
    if (made === undefined) throw new Error('what the cases share was not made, as a failure before them tells')
    return made.value
  }
}
