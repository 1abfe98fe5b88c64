import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { pidNamespace, processStat } from '../../src/os/processes/processes.ts'
import { ServedSessions } from '../../src/hosts/served-sessions.ts'
import { ListResponseSchema, MountResponseSchema, Session_State, type SessionSchema } from '../../src/rpc/fused_pb.ts'

const { pid } = process
const ONE = { path: '/one', connection: 41, state: Session_State.SERVED }
const TWO = { path: '/two', connection: 42, state: Session_State.SERVED }
const DAEMON = { pid, stopped: false, serves: 'many' }

/** An answer to List; `ended`: how many sessions have ended. */
function answer(sessions: readonly MessageInitShape<typeof SessionSchema>[], ended = 0) {
  return create(ListResponseSchema, { daemon: { pid, ended }, sessions: [...sessions] })
}

/** An answer to Mount. */
function mount(session: MessageInitShape<typeof SessionSchema>, by = pid) {
  return create(MountResponseSchema, { daemon: { pid: by, ended: 0 }, session })
}

/** The sessions of an answer to the question for all. */
function served(...sessions: MessageInitShape<typeof SessionSchema>[]): ServedSessions {
  const all = new ServedSessions()
  all.listed(answer(sessions), [], performance.now())
  return all
}

describe('the sessions of a dummy-fused', () => {
  it('are those of its last answer, with its process and their devices', () => {
    const sessions = served(ONE, TWO)
    assert.deepEqual(sessions.at('/one'), { ...DAEMON, device: '0:41' })
    assert.deepEqual([...sessions.all().keys()], ['/one', '/two'])
    assert.equal(sessions.at('/three'), undefined)
  })

  it('change at an answer only where the question named their path', () => {
    const sessions = served(ONE, TWO)
    sessions.listed(answer([{ ...ONE, connection: 43 }]), ['/one', '/three'], performance.now())
    assert.equal(sessions.at('/one')?.device, '0:43')
    assert.equal(sessions.at('/two')?.device, '0:42')
    sessions.listed(answer([]), ['/two'], performance.now())
    assert.deepEqual([...sessions.all().keys()], ['/one'])
    sessions.listed(answer([TWO]), [], performance.now())
    assert.deepEqual([...sessions.all().keys()], ['/two'])
  })

  it('are not those that are held for another program', () => {
    const sessions = served(ONE, TWO)
    sessions.listed(answer([{ ...ONE, state: Session_State.HELD }]), ['/one'], performance.now())
    assert.deepEqual([...sessions.all().keys()], ['/two'])
  })

  it('include one that was just mounted, and not one that was forgotten', () => {
    const sessions = served(ONE)
    sessions.mounted(mount(TWO), performance.now())
    sessions.forget('/one')
    assert.deepEqual([...sessions.all()], [['/two', { ...DAEMON, device: '0:42' }]])
  })

  it('are as old as the question; a Mount asks the process, but not its serving thread', () => {
    const sessions = new ServedSessions()
    assert.deepEqual([sessions.listedWithin(1e9), sessions.answeredWithin(1e9)], [false, false])
    sessions.listed(answer([ONE]), ['/one'], performance.now() - 100_000)
    assert.deepEqual([sessions.listedWithin(99_999), sessions.listedWithin(200_000)], [false, true])
    assert.deepEqual([sessions.answeredWithin(99_999), sessions.answeredWithin(200_000)], [false, true])
    sessions.mounted(mount(TWO), performance.now() - 50_000)
    const answered = [sessions.answeredWithin(99_999), sessions.answeredWithin(49_999)]
    assert.deepEqual([sessions.listedWithin(99_999), ...answered], [false, true, false])
  })

  it('are forgotten once another one has ended, for it may be any of them', () => {
    const sessions = served(ONE, TWO)
    assert.equal(sessions.complete, true)
    sessions.listed(answer([ONE], 0), ['/one'], performance.now())
    assert.deepEqual([[...sessions.all().keys()], sessions.complete], [['/two', '/one'], true])
    sessions.listed(answer([ONE], 1), ['/one'], performance.now())
    assert.deepEqual([[...sessions.all().keys()], sessions.complete], [['/one'], false])
  })

  it('are known of the last question alone where dummy-fused does not tell how many have ended', () => {
    const sessions = new ServedSessions()
    const older = create(ListResponseSchema, { daemon: { pid }, sessions: [ONE, TWO] })
    sessions.listed(older, [], performance.now())
    assert.deepEqual([...sessions.all().keys()], ['/one', '/two'])
    sessions.listed(create(ListResponseSchema, { daemon: { pid }, sessions: [ONE] }), ['/one'], performance.now())
    assert.deepEqual([...sessions.all().keys()], ['/one'])
  })

  it('are of the process that has the id and the start that it tells, and of no other', () => {
    const { start = '' } = processStat(pid) ?? {}
    const answered = (daemon: MessageInitShape<typeof ListResponseSchema>['daemon']): ServedSessions => {
      const sessions = new ServedSessions()
      sessions.listed(create(ListResponseSchema, { daemon, sessions: [ONE] }), [], performance.now())
      return sessions
    }
    assert.deepEqual(answered({ pid, ended: 0, start, pidNamespace: pidNamespace() }).at('/one'), { ...DAEMON, device: '0:41' })
    assert.equal(answered({ pid, ended: 0, start: '1', pidNamespace: pidNamespace() }).at('/one'), undefined)
    const thread =
      readdirSync('/proc/self/task')
        .map(Number)
        .find((tid) => tid !== pid) ?? 0
    assert.notEqual(processStat(thread), undefined)
    assert.equal(answered({ pid: thread, ended: 0 }).at('/one'), undefined, 'a thread of ours')
  })

  it('of a process in another PID namespace name none, until another one answers', () => {
    const sessions = new ServedSessions()
    const there = (one: number, start: string): void => {
      const daemon = { pid: one, ended: 0, start, pidNamespace: '1' }
      sessions.mounted(create(MountResponseSchema, { daemon, session: one === 7 ? ONE : TWO }), performance.now())
    }
    there(7, '100')
    assert.deepEqual(sessions.at('/one'), { stopped: false, device: '0:41', serves: 'many' })
    there(8, '100')
    assert.deepEqual([...sessions.all().keys()], ['/two'])
    there(7, '101')
    assert.deepEqual([...sessions.all().keys()], ['/one'])
  })

  it('are forgotten with the answer when another process of dummy-fused answers, or none runs', () => {
    const sessions = served(ONE)
    sessions.mounted(mount(TWO, process.ppid), performance.now())
    assert.equal(sessions.at('/one'), undefined)
    assert.equal(sessions.at('/two')?.pid, process.ppid)
    assert.equal(sessions.listedWithin(60_000), false)
    sessions.clear()
    assert.deepEqual([...sessions.all()], [])
  })

  it('are forgotten when another process answers that started in the same clock tick', async (t) => {
    const [one, other] = await startedTogether(t)
    const sessions = new ServedSessions()
    sessions.mounted(mount(ONE, one), performance.now())
    assert.equal(sessions.at('/one')?.pid, one)
    sessions.mounted(mount(TWO, other), performance.now())
    assert.equal(sessions.at('/one'), undefined)
    assert.equal(sessions.at('/two')?.pid, other)
  })
})

/** Two processes with one start time, by their ids; they end with the test. */
async function startedTogether(t: TestContext): Promise<readonly [number, number]> {
  for (let attempt = 0; attempt < 100; attempt++) {
    // Two that one shell starts in a row: two of this process are further apart than a tick on a busy machine.
    const shell = spawn('sh', ['-c', 'sleep 60 & one=$!; sleep 60 & echo $one $!; wait'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(shell, 'exit')
    const [line] = (await once(shell.stdout, 'data')) as [Buffer]
    const [one = 0, other = 0] = line.toString().split(' ').map(Number)
    t.after(async () => {
      for (const pid of [one, other]) process.kill(pid, 'SIGKILL')
      await ended
    })
    if (processStat(one)?.start === processStat(other)?.start) return [one, other]
  }
  throw new Error('no two processes of 100 shells started in one clock tick')
}
