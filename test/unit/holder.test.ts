import assert from 'node:assert/strict'
import { closeSync, fstatSync, mkdtempSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Holder } from '../../src/holder/holder.ts'
import { HolderLink, promised } from '../../src/holder/holder-link.ts'
import { Logger } from '../../src/log.ts'
import { AddonLoader } from '../../src/os/addons.ts'
import { DescriptorWatch } from '../../src/os/descriptors/descriptor-watch.ts'
import { Libc } from '../../src/os/libc.ts'
import { sendDatagram } from '../../src/os/sockets/unix-datagram.ts'
import { RateLimitedLog } from '../../src/os/rate-limited-log.ts'
import { storeMessage } from '../../src/sd/notify-sender.ts'
import { NotifySocket } from '../../src/sd/notify-socket.ts'
import { eventually } from '../support/wait.ts'

const libc = new Libc(new AddonLoader())

/** A holder on a socket of its own in this process. */
class Site implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'holder-test-'))
  readonly #watch = new DescriptorWatch(libc)
  readonly #deadline: number
  readonly said: string[] = []
  readonly log = new Logger((line) => this.said.push(line))
  #holder: Holder
  #socket: NotifySocket

  constructor(deadline = 60_000) {
    this.#deadline = deadline
    this.#watch.run().catch(() => undefined)
    ;[this.#holder, this.#socket] = this.#start()
  }

  get holder(): Holder {
    return this.#holder
  }

  get #path(): string {
    return join(this.#folder, 'holder.sock')
  }

  #start(): [Holder, NotifySocket] {
    const holder = new Holder({ libc, watch: this.#watch, deadline: this.#deadline, log: this.log })
    const handler = {
      mayNotify: () => true,
      notice: (...[notice, descriptors]: Parameters<Holder['notice']>) => holder.notice(notice, descriptors),
    }
    const socket = new NotifySocket(libc, this.#path, handler, new RateLimitedLog(this.log))
    this.#watch.add(socket.fd, () => socket.drain())
    return [holder, socket]
  }

  /** Puts another holder in the place of this one, which has ended. */
  renew(): void {
    this.#end()
    ;[this.#holder, this.#socket] = this.#start()
  }

  #end(): void {
    this.#watch.closeWatched(this.#socket.fd)
    this.#holder.close()
    rmSync(this.#path)
  }

  /** Has the holder keep the session `one` of a shield, as {@link HolderLink} does; returns what ends the shield. */
  async keepOf({ device, state }: ReturnType<typeof session>): Promise<() => void> {
    const [life, alive] = libc.pipe()
    sendDatagram(libc, this.#path, Buffer.from(storeMessage('one')), [device, state, life])
    closeSync(life)
    await eventually('the holder has it', () => this.#holder.size === 1)
    return () => closeSync(alive)
  }

  link(name = 'one'): HolderLink {
    return new HolderLink({ libc, socket: this.#path, name, patience: 5000, log: this.log })
  }

  async promised(name = 'one'): Promise<boolean> {
    return await promised({ libc, socket: this.#path, name, patience: 5000 })
  }

  [Symbol.dispose](): void {
    this.#end()
    this.#watch.end()
    rmSync(this.#folder, { recursive: true })
  }
}

/** Two pipes: what is written to them is read from copies of their ends. */
function session(): { readonly device: number; readonly state: number; readonly write: readonly number[] } {
  const [[device, one], [state, two]] = [libc.pipe(), libc.pipe()]
  return { device, state, write: [one, two] }
}

describe('a holder', () => {
  it('hands a session over once its shield has ended, and not before', async () => {
    using site = new Site()
    const given = session()
    const endShield = await site.keepOf(given)
    let fetched = false
    const fetching = site.link().fetch(20_000)
    fetching.then(
      () => (fetched = true),
      () => undefined,
    )
    await site.link('two').fetch(20_000)
    assert.equal(fetched, false)
    endShield()
    const taken = await fetching
    assert.ok(taken !== undefined)
    for (const [index, fd] of [taken.device, taken.state].entries()) {
      writeSync(given.write[index] ?? -1, 'x')
      assert.equal(readSync(fd, Buffer.alloc(1)), 1)
      closeSync(fd)
    }
    for (const fd of [given.device, given.state, ...given.write]) closeSync(fd)
  })

  it('knows no session that has ended, or of which it was not told', async () => {
    using site = new Site()
    assert.equal(await site.link().fetch(20_000), undefined)
    assert.equal(await site.promised(), false)
    const shield = site.link()
    await shield.keep(session())
    await shield.forget()
    await eventually('it has let go of it', () => site.holder.size === 0)
    assert.equal(await site.link().fetch(20_000), undefined)
    assert.deepEqual(site.said, [])
  })

  it('ends at once while its shields run, and waits for successors of those that have ended or of which it has promised that', async () => {
    using site = new Site()
    const shield = site.link()
    await shield.keep(session())
    await site.holder.leave()
    site.renew()
    await eventually('the next holder has it', () => site.holder.size === 1)
    await shield.forget()
    await eventually('it has let go of it', () => site.holder.size === 0)
    const endShield = await site.keepOf(session())
    assert.equal(await site.promised(), true)
    let left = false
    const leaving = site.holder.leave().then(() => (left = true))
    endShield()
    const taken = await site.link().fetch(20_000)
    assert.ok(taken !== undefined)
    assert.equal(left, false)
    await site.link().keep(taken)
    await leaving
    assert.match(site.said.join(), /1 sessions wait for a successor/)
  })

  it('forgets a promise about a shield that does not end', async () => {
    using site = new Site(50)
    const endShield = await site.keepOf(session())
    assert.equal(await site.promised(), true)
    await site.holder.leave()
    assert.equal(site.holder.size, 1)
    endShield()
  })

  it('lets go of a session whose successor does not come, and says so', async () => {
    using site = new Site(50)
    const given = session()
    const { device, state, write } = given
    const endShield = await site.keepOf(given)
    for (const fd of [device, state]) closeSync(fd)
    endShield()
    await eventually('it has let go of it', () => site.holder.size === 0)
    assert.match(site.said.join(), /no successor has come for the session one within 0\.05 s/)
    // Nobody has the other ends any more.
    for (const fd of write) assert.throws(() => writeSync(fd, 'x'), { code: 'EPIPE' })
    for (const fd of write) closeSync(fd)
  })

  it('is not there: who asks is told so, and the shield goes on', async () => {
    const site = new Site()
    const missing = site.link()
    site[Symbol.dispose]()
    assert.equal(await missing.fetch(200), undefined)
    assert.match(site.said.join(), /cannot get the session from the holder on .*: nobody listens on/)
    const given = session()
    await missing.keep(given)
    assert.match(site.said.join(), /does not keep the session: .*; it ends with this container/)
    assert.ok(fstatSync(given.device).isFIFO())
    assert.equal(await site.promised(), false)
  })
})
