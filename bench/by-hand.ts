import { join } from 'node:path'
import type { Sandbox } from '../test/support/sandbox.ts'
import { cHello } from './peers/peers.ts'
import type { ByHand } from './spawner.ts'

/** What the peer of each figure is called. */
export const BY_HAND = 'libfuse3 in C and mount --bind'

/** A volume's whole life as the original has it: a libfuse3 hello in the background and a bind, unmounted by hand until its daemon has ended. */
export async function volumeByHand(sandbox: Sandbox, name = 'volume'): Promise<ByHand> {
  const staging = sandbox.directory('by-hand', name, 'staging')
  const target = sandbox.directory('by-hand', name, 'target')
  return {
    act: [
      [await cHello(), staging],
      ['mount', '--bind', staging, target],
    ],
    undo: [
      ['umount', target],
      ['umount', staging],
    ],
  }
}

/** So many of them. */
export async function volumesByHand(sandbox: Sandbox, count: number): Promise<readonly ByHand[]> {
  return await Promise.all(Array.from({ length: count }, (_, i) => volumeByHand(sandbox, join('many', String(i)))))
}
