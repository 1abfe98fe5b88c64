import { mkdirSync } from 'node:fs'
import type { Sandbox } from './sandbox.ts'

/** Makes a folder in the sandbox that can stand in for /dev, with the devices named, and returns its path. */
export async function deviceFolder(sandbox: Sandbox, ...devices: ('null' | 'fuse')[]): Promise<string> {
  const folder = sandbox.directory('dev')
  const numbers = { null: '3', fuse: '229' }
  for (const device of devices) {
    await sandbox.run('mknod', [`${folder}/${device}`, 'c', device === 'null' ? '1' : '10', numbers[device]])
  }
  mkdirSync(`${folder}/shm`)
  return folder
}

/** Words that run a program in a mount namespace of its own where the folder is /dev; `options` as mount(8)'s -o has them. */
export function withDevices(folder: string, args: readonly string[], options = 'rw'): [file: string, args: string[]] {
  const script = 'mount --bind "$0" /dev && mount -o "remount,bind,$1" /dev && shift && exec "$@"'
  return ['unshare', ['--mount', 'sh', '-c', script, folder, options, ...args]]
}
