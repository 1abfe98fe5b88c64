import { Controller } from '../../src/rpc/csi_pb.ts'
import { CsiClient, outcome } from '../support/csi-client.ts'
import { mountCapability } from '../support/plugin.ts'
import { judgeList } from './judge.ts'

/** Volumes that are created and deleted in turn. */
const NAMES = ['record-0', 'record-1', 'record-2', 'record-3', 'record-4']

/** Milliseconds that a call has: a plugin that is stopped goes on before. */
const CALL_DEADLINE = 8000

/** A volume of the Controller. `unsure`: the last call has not told whether it is there. */
interface Known {
  id: string | undefined
  state: 'there' | 'gone' | 'unsure'
  next: 'create' | 'delete'
}

/** Creates and deletes volumes by the Controller service, and compares ListVolumes with what was answered. One step at a time. */
export class Records {
  readonly #socket: string
  readonly #known = new Map<string, Known>(NAMES.map((name) => [name, { id: undefined, state: 'gone', next: 'create' }]))
  #turn = 0

  constructor(socket: string) {
    this.#socket = socket
  }

  /** Creates or deletes one volume, then lists all. Resolves to what was wrong; undefined if there was no list. */
  async step(): Promise<readonly string[] | undefined> {
    using client = new CsiClient(this.#socket)
    await this.#change(client, NAMES[this.#turn++ % NAMES.length] ?? '')
    try {
      const { entries } = await client.call(Controller.method.listVolumes, {}, CALL_DEADLINE)
      const listed = entries.map(({ volume }) => volume?.volumeId ?? '')
      const ids = (state: Known['state']): readonly string[] =>
        [...this.#known.values()].flatMap((one) => (one.state === state && one.id !== undefined ? [one.id] : []))
      return judgeList(listed, ids('there'), ids('gone'))
    } catch {
      return undefined
    }
  }

  /** Deletes all of them. Resolves to those that are left. */
  async clear(): Promise<readonly string[]> {
    using client = new CsiClient(this.#socket)
    for (const [name, one] of this.#known) {
      if (one.id === undefined) continue
      one.next = 'delete'
      await this.#change(client, name)
    }
    const { entries } = await client.call(Controller.method.listVolumes, {}, CALL_DEADLINE)
    return entries.map(({ volume }) => `the record of ${volume?.volumeId ?? ''}`)
  }

  async #change(client: CsiClient, name: string): Promise<void> {
    const one = this.#known.get(name)
    if (one === undefined) return
    one.state = 'unsure'
    if (one.next === 'create') {
      const request = { name, volumeCapabilities: [mountCapability()] }
      const call = client.call(Controller.method.createVolume, request, CALL_DEADLINE)
      const { code } = await outcome(call)
      if (code !== 'OK') return
      one.id = (await call).volume?.volumeId
      one.state = 'there'
      one.next = 'delete'
    } else {
      const { code } = await outcome(client.call(Controller.method.deleteVolume, { volumeId: one.id ?? '' }, CALL_DEADLINE))
      if (code !== 'OK') return
      one.state = 'gone'
      one.next = 'create'
    }
  }
}
