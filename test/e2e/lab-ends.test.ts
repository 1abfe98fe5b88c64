import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { describe, it } from 'node:test'
import { EXECUTABLE } from '../support/paths.ts'
import { Sandbox } from '../support/sandbox.ts'
import { eventually } from '../support/wait.ts'

/** A process as it can be told from a later one of the same id: its id and the time at which it started. */
interface Identity {
  readonly pid: number
  readonly startTime: string
}

/** The living ones: when its parent is dead, a zombie waits for the machine's first process to look at it. */
function processes(): (Identity & { readonly parent: number })[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        if (fields[0] === 'Z') return []
        return [{ pid: Number(name), parent: Number(fields[1]), startTime: fields[19] ?? '' }]
      } catch {
        // It has ended.
        return []
      }
    })
}

/** A process and all below it, and the mount namespaces that they have beside ours. */
function family(pid: number): { members: Identity[]; namespaces: Set<string> } {
  const all = processes()
  const members = all.filter((process) => process.pid === pid)
  for (const { pid } of members) members.push(...all.filter(({ parent }) => parent === pid))
  const own = readlinkSync('/proc/self/ns/mnt')
  const namespaces = new Set(members.map(({ pid }) => namespaceOf(pid)))
  for (const ours of [own, '']) namespaces.delete(ours)
  return { members, namespaces }
}

function namespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`)
  } catch {
    // It has ended.
    return ''
  }
}

/** Waits until none of them is left: no process, and no process in one of the namespaces. */
async function gone({ members, namespaces }: ReturnType<typeof family>): Promise<void> {
  await eventually(
    'all that the lab started is gone',
    () => {
      const now = processes()
      const left = members.filter(({ pid, startTime }) => now.some((one) => one.pid === pid && one.startTime === startTime))
      return left.length === 0 && now.every(({ pid }) => !namespaces.has(namespaceOf(pid)))
    },
    60_000,
  )
}

describe('a lab that ends before its time', () => {
  const MOMENTS: { name: string; after: string; signal: NodeJS.Signals; status: number | null }[] = [
    { name: 'as it begins', after: '== restore-mounts ==', signal: 'SIGKILL', status: null },
    { name: 'as its pods run', after: '[slave-volume-pod]', signal: 'SIGKILL', status: null },
    { name: 'as its mounts are dead', after: '[node] $ kill', signal: 'SIGKILL', status: null },
    { name: 'as its plugin has restored its mounts', after: '[plugin-2]', signal: 'SIGKILL', status: null },
    { name: 'as its pods run', after: '[slave-volume-pod]', signal: 'SIGINT', status: 130 },
    { name: 'as its mounts are dead', after: '[node] $ kill', signal: 'SIGTERM', status: 143 },
  ]
  for (const { name, after, signal, status } of MOMENTS) {
    it(`leaves nothing behind at ${signal} ${name}`, async () => {
      await using sandbox = new Sandbox()
      const env = { ...process.env, TMPDIR: sandbox.directory('tmp') }
      const lab = sandbox.start(EXECUTABLE, ['lab', 'run', 'restore-mounts'], { env })
      await eventually(`the lab says ${after}`, () => lab.output().includes(after), 90_000)
      // The pods, the plugin, its daemon, and the lab's own. A process that is started right now may not have its own namespace yet.
      const started = await eventually('its processes run', () => {
        const there = family(lab.pid)
        const all = there.members.length >= 10 && there.namespaces.size === 5
        return all || after !== '[slave-volume-pod]' ? there : undefined
      })
      lab.child.kill(signal)
      const result = await lab.ended
      assert.equal(result.status, status)
      assert.equal(result.signal, status === null ? signal : null)
      if (status !== null) assert.match(result.stdout, /^✗ broken off: it was interrupted$/m)
      await gone(started)
      assert.deepEqual(readdirSync(sandbox.directory('tmp')), [])
      assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), /dummy-fuse-lab/)
    })
  }
})

describe('a lab that ends in the middle of the matrix', () => {
  // A failure by which the next lab needs nodes of the same kind.
  const OWN = { name: 'with cells on nodes of their own', mitigations: 'restore,keep', failure: 'plugin-killed' }
  const SYSTEMD = { name: 'with cells that systemd runs', mitigations: 'service', failure: 'plugin-restarted' }
  const CONSUMERS = ['--consumer', 'keeps-open,private,exits-on-error']
  const MOMENTS: (typeof OWN & { signal: NodeJS.Signals; status: number | null })[] = [
    { ...OWN, signal: 'SIGKILL', status: null },
    { ...OWN, signal: 'SIGINT', status: 130 },
    { ...SYSTEMD, signal: 'SIGKILL', status: null },
    { ...SYSTEMD, signal: 'SIGTERM', status: 143 },
  ]
  for (const { name, mitigations, failure, signal, status } of MOMENTS) {
    it(`leaves nothing behind at ${signal} ${name}`, async () => {
      await using sandbox = new Sandbox()
      const env = { ...process.env, TMPDIR: sandbox.directory('tmp') }
      const failures = ['--failure', 'plugin-killed,plugin-upgraded,daemon-killed', '--jobs', '2']
      const args = [...failures, '--mitigation', mitigations, ...CONSUMERS]
      const lab = sandbox.start(EXECUTABLE, ['lab', 'run', ...args], { env })
      await eventually('a cell is through', () => /^\[1\/\d\]/m.test(lab.output()), 120_000)
      // Between one cell and the next there is little to be seen.
      const started = await eventually('another cell is under way', () => {
        const there = family(lab.pid)
        return there.members.length > 5 ? there : undefined
      })
      lab.child.kill(signal)
      const result = await lab.ended
      assert.equal(result.status, status, result.stdout + result.stderr)
      await gone(started)
      assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), /dummy-fuse-lab/)
      if (status === null) {
        // What a killed one could not take away, the next one does.
        const words = ['lab', 'run', '--failure', failure, '--mitigation', 'none', ...CONSUMERS]
        const next = await sandbox.run(EXECUTABLE, words, { env, timeout: 120_000 })
        assert.equal(next.status, 0, next.stdout + next.stderr)
      }
      assert.deepEqual(readdirSync(sandbox.directory('tmp')), [])
    })
  }
})
