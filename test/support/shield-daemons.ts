import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROGRAMS } from './program-storage.ts'
import type { Sandbox } from './sandbox.ts'

/** The command of each daemon that only reads, for a folder that is filled (shield.ts). */
export const DAEMONS: Readonly<Record<string, (sandbox: Sandbox, folder: string) => Promise<readonly string[]>>> = {
  bindfs: (_, folder) => Promise.resolve(['bindfs', '-f', folder, '{target}']),
  squashfuse: async (sandbox, folder) => {
    const image = join(sandbox.path, 'image.squashfs')
    const made = await sandbox.run('mksquashfs', [folder, image, '-quiet', '-no-progress'])
    assert.equal(made.status, 0, made.stderr)
    return ['squashfuse', '-f', image, '{target}']
  },
  sshfs: async (sandbox, folder) => {
    const { parameters, secrets } = (await PROGRAMS.sshfs?.(sandbox)) ?? {}
    const knownHosts = join(sandbox.path, 'known-hosts')
    writeFileSync(knownHosts, secrets?.knownHosts ?? '')
    const options = [`IdentityFile=${join(sandbox.path, 'ssh', 'key')}`, `UserKnownHostsFile=${knownHosts}`, 'BatchMode=yes']
    const port = `port=${parameters?.port}`
    return ['sshfs', '-f', `root@127.0.0.1:${folder}`, '{target}', ...[...options, port].flatMap((option) => ['-o', option])]
  },
  'fuse-overlayfs': (sandbox, folder) => {
    return Promise.resolve(overlayfs(folder, sandbox.directory('upper'), sandbox.directory('work')))
  },
  gocryptfs: async (sandbox, folder) => {
    const [cipher, plain] = [sandbox.directory('cipher'), sandbox.directory('plain')]
    const password = join(sandbox.path, 'password')
    writeFileSync(password, 'a good password\n')
    const words = ['-q', '-passfile', password]
    for (const args of [
      ['-init', '-scryptn', '10', ...words, cipher],
      [...words, cipher, plain],
    ])
      assert.equal((await sandbox.run('gocryptfs', args)).status, 0)
    assert.equal((await sandbox.run('cp', ['-a', `${folder}/.`, plain], { timeout: 300_000 })).status, 0)
    assert.equal((await sandbox.run('umount', [plain])).status, 0)
    return ['gocryptfs', '-fg', ...words, cipher, '{target}']
  },
}

/** Each command for a folder `written`, below which everything ends up. */
export const WRITABLE: Readonly<Record<string, (sandbox: Sandbox) => readonly string[]>> = {
  bindfs: (sandbox) => ['bindfs', '-f', sandbox.directory('written'), '{target}'],
  'fuse-overlayfs': (sandbox) => {
    return overlayfs(sandbox.directory('lower'), sandbox.directory('written'), sandbox.directory('work'))
  },
}

function overlayfs(lower: string, upper: string, work: string): readonly string[] {
  return ['fuse-overlayfs', '-f', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, '{target}']
}
