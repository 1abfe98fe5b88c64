import { copyFileSync, appendFileSync, chmodSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fused, type InspectResponse } from '../../src/rpc/fused_pb.ts'
import { MachineReader, type ReaderOptions } from './c-reader.ts'
import { CallError, CsiClient } from './csi-client.ts'
import { InstalledPlugin, UNIT } from './installed-plugin.ts'
import { childrenOf } from './kept.ts'
import type { Machine } from './nspawn.ts'
import { EXECUTABLE } from './paths.ts'
import { argumentsOf, commOf, devicesOf } from './sandbox.ts'
import { eventually } from './wait.ts'

export const FUSED_UNIT = 'dummy-fused.service'
export const STANDBY_UNIT = 'dummy-fused-standby.service'
const EXECUTABLE_INSIDE = 'usr/local/bin/dummy-fuse-csi'
const DEFAULTS_INSIDE = 'etc/default/dummy-fuse-csi'

/**
 * A program that ends with status 1 at once. It is no script: /bin/sh opens the path of a script a second time, and by then a whole executable
 * may be in its place, which no shell can read. The shell would end with status 2, after which systemd starts the unit no more.
 */
export const FAILS_AT_ONCE = readFileSync('/bin/false')

/** What a machine is to be set to before it is booted. */
export interface FusedMachineOptions {
  /** Words of DUMMY_FUSED_OPTS. */
  readonly args?: string
  /** Seconds of DUMMY_FUSED_TAKEOVER_DEADLINE. */
  readonly deadline?: number
  /** Whether it has a standby; it does unless told otherwise. */
  readonly standby?: boolean
}

/** A machine with the plugin, whose volumes live in a dummy-fused under real systemd. */
export class FusedMachine implements AsyncDisposable {
  readonly plugin: InstalledPlugin
  readonly machine: Machine
  #builds = 0

  private constructor(plugin: InstalledPlugin) {
    this.plugin = plugin
    this.machine = plugin.machine
  }

  static async start(options: FusedMachineOptions = {}): Promise<FusedMachine> {
    const plugin = await InstalledPlugin.start('--fuse-host service')
    try {
      const fused = new FusedMachine(plugin)
      fused.setOptions(options)
      await plugin.machine.systemctl('enable', '--quiet', FUSED_UNIT)
      if (options.standby === false) await plugin.machine.systemctl('disable', '--quiet', STANDBY_UNIT)
      await plugin.machine.systemctl('start', FUSED_UNIT)
      return fused
    } catch (error) {
      await plugin[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Rewrites the options file; dummy-fused and its deadline read it at their next start. */
  setOptions({ args = '', deadline }: FusedMachineOptions): void {
    this.plugin.setOptions('--fuse-host service')
    const file = join(this.machine.root, DEFAULTS_INSIDE)
    const more = deadline === undefined ? '' : `DUMMY_FUSED_TAKEOVER_DEADLINE=${deadline}\n`
    writeFileSync(file, `${readFileSync(file, 'utf8')}DUMMY_FUSED_OPTS="${args}"\n${more}`)
  }

  /** A path inside, by which this process reaches it too, also below /run. */
  reach(path: string): string {
    return join(`/proc/${this.machine.systemd}/root`, path)
  }

  /** The process of dummy-fused at this moment, by its id outside, ready or not; none while systemd has not executed it. */
  pid(): number | undefined {
    return childrenOf(this.machine.systemd).find((pid) => argumentsOf(pid)[0] === '/usr/local/bin/dummy-fused')
  }

  /** The process of its standby at this moment, by its id outside. */
  standby(): number | undefined {
    return childrenOf(this.machine.systemd).find((pid) => argumentsOf(pid)[1] === 'standby')
  }

  /** {@link standby}, unless it was executed a moment ago: until its own code runs, ps shows it as another plugin. */
  #namedStandby(): number | undefined {
    const pid = this.standby()
    return pid !== undefined && commOf(pid) === 'dummy-standby' ? pid : undefined
  }

  /** {@link standby}, once there is one that is not `last` and has the devices of so many sessions. */
  async standbyOf(sessions: number, last?: number): Promise<number> {
    return await eventually(`a standby has the devices of ${sessions} sessions`, () => {
      const pid = this.standby()
      return pid !== undefined && pid !== last && devicesOf(pid) === sessions ? pid : undefined
    })
  }

  /** {@link pid}, once there is one that is not `last`. */
  async another(last?: number): Promise<number> {
    return await eventually('there is another dummy-fused', () => {
      const pid = this.pid()
      return pid === last ? undefined : pid
    })
  }

  /** SIGKILL; resolves to the process that was killed. */
  async kill(): Promise<number> {
    const pid = await this.another()
    process.kill(pid, 'SIGKILL')
    return pid
  }

  /** Resolves once a dummy-fused that is none of `not` is ready. */
  async ready(not?: number): Promise<number> {
    return await eventually(
      'another dummy-fused is ready',
      async () => {
        const pid = this.pid()
        if (pid === undefined || pid === not) return undefined
        return (await this.machine.property(FUSED_UNIT, 'ActiveState')) === 'active' ? pid : undefined
      },
      30_000,
    )
  }

  /** Calls dummy-fused from outside, once it is there. */
  async inspect(path: string): Promise<InspectResponse> {
    return await eventually(
      `dummy-fused tells of ${path}`,
      async () => {
        using client = this.client()
        return await client.call(Fused.method.inspect, { path }).catch((error: unknown) => {
          if (error instanceof CallError && ['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.code)) return undefined
          throw error
        })
      },
      30_000,
    )
  }

  client(): CsiClient {
    return new CsiClient(this.reach('/run/dummy-fused.sock'))
  }

  /** Puts another build of the executable, or a file of that content, in place as scripts/install does, by rename(2): what runs goes on. */
  replaceExecutable(content?: string | Buffer, mode = 0o755): void {
    const path = join(this.machine.root, EXECUTABLE_INSIDE)
    const copy = `${path}.new`
    if (content === undefined) {
      copyFileSync(EXECUTABLE, copy)
      appendFileSync(copy, String(++this.#builds))
    } else writeFileSync(copy, content)
    chmodSync(copy, mode)
    renameSync(copy, path)
  }

  /** Undoes {@link replaceExecutable}. */
  restoreExecutable(): void {
    this.replaceExecutable()
  }

  /** Has a new build take over by `systemctl restart`, which says that it failed if somebody kills the new one in its first moments. */
  async upgrade(): Promise<void> {
    this.replaceExecutable()
    await this.machine.run('systemctl', ['restart', FUSED_UNIT])
    await eventually('the new build runs', () => {
      const pid = this.pid()
      return pid !== undefined && runsWhatIsInPlace(pid)
    })
  }

  /** Starts a consumer inside. */
  async reader(name: string, options: ReaderOptions): Promise<MachineReader> {
    return await MachineReader.start(this.machine, name, options)
  }

  /** How many descriptors systemd keeps. */
  async stored(): Promise<number> {
    return Number(await this.machine.property(FUSED_UNIT, 'NFileDescriptorStore'))
  }

  /** Everything that a volume, a session or a dead process could have left. */
  async leftovers(): Promise<Leftovers> {
    const enabled = (await this.machine.run('systemctl', ['--quiet', 'is-enabled', STANDBY_UNIT])).status === 0
    const standby = enabled ? await eventually('a standby has its name', () => this.#namedStandby()) : undefined
    // It is told of an end that nobody asked for, and not waited for.
    if (standby !== undefined) await eventually('the standby lets go of all', () => devicesOf(standby) === 0)
    const list = async (folder: string): Promise<string[]> =>
      (await this.machine.output('sh', ['-c', `ls -A ${folder} 2>/dev/null || true`])).split('\n').filter(Boolean)
    const ps = await this.machine.output('ps', ['-e', '-o', 'stat=,comm='])
    return {
      stored: await this.stored(),
      mounts: await this.plugin.mounts(),
      sessions: await list('/run/dummy-fused/sessions'),
      mountCache: await list('/var/lib/dummy-fuse-csi/mountcache/staged /var/lib/dummy-fuse-csi/mountcache/published').then(
        (lines) => lines.filter((line) => line.endsWith('.json')),
      ),
      processes: ps
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        // One that has ended is there until its parent has been told.
        .flatMap(([state = '', name = '']) => (name.startsWith('dummy-fuse') && !state.startsWith('Z') ? [name] : []))
        .sort(),
      devices: devicesOf(await this.another()),
    }
  }

  async journal(): Promise<string> {
    return await this.machine.journal([FUSED_UNIT, 'dummy-fused-deadline.service', UNIT], 'short-precise')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plugin[Symbol.asyncDispose]()
  }
}

/** Whether the file that a process was executed from is still in its place. */
export function runsWhatIsInPlace(pid: number): boolean {
  try {
    return !readlinkSync(`/proc/${pid}/exe`).endsWith(' (deleted)')
  } catch {
    return false
  }
}

/** {@link FusedMachine.leftovers} */
export interface Leftovers {
  readonly stored: number
  readonly mounts: readonly string[]
  readonly sessions: readonly string[]
  readonly mountCache: readonly string[]
  readonly processes: readonly string[]
  /** Descriptors of /dev/fuse in dummy-fused. */
  readonly devices: number
}

/** What is left when every volume is gone and both programs run. */
export const NOTHING_LEFT: Leftovers = {
  stored: 0,
  mounts: [],
  sessions: [],
  mountCache: [],
  processes: ['dummy-fuse-csi', 'dummy-fused'],
  devices: 0,
}
