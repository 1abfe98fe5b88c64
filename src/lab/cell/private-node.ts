import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseMountinfo } from '../../os/mounts/mountinfo.ts'
import { run } from '../../os/processes/run.ts'
import { KUBELET } from '../node-paths.ts'
import { runShell } from '../shell.ts'
import type { DaemonControl, NodeControl, PluginControl } from './harness.ts'
import type { Timeline } from './timeline.ts'

/** Milliseconds for one umount(8). */
const DEADLINE = 10_000

/** The private node that this process is on. */
export class PrivateNode implements NodeControl {
  readonly #timeline: Timeline
  readonly #plugin: PluginControl
  readonly #daemons: DaemonControl

  constructor(timeline: Timeline, plugin: PluginControl, daemons: DaemonControl) {
    this.#timeline = timeline
    this.#plugin = plugin
    this.#daemons = daemons
    timeline.lane('node', 'process', 'Node')
    timeline.lane('kubelet', 'process', 'Kubelet')
  }

  async shell(command: string): Promise<string> {
    const { status, output } = await runShell([], command)
    for (const line of output.split('\n'))
      if (line !== '') this.#timeline.log('node', this.#timeline.note('node', 'log', line), line)
    if (status !== 0) throw new Error(`on the node: ${command.replaceAll('\n', '; ')}: exit status ${status}: ${output}`)
    return output
  }

  async crash(): Promise<void> {
    await this.#plugin.kill()
    await this.#daemons.crash()
    const below = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith(`${KUBELET}/`))
    for (const path of below.reverse()) await run('umount', ['-n', '-l', path], DEADLINE)
    // What tells the plugin's entries of an earlier boot from this one's.
    const bootId = join(KUBELET, 'tmp', `boot-id-${randomUUID()}`)
    writeFileSync(bootId, `${randomUUID()}\n`)
    const path = '/proc/sys/kernel/random/boot_id'
    // systemd-nspawn has put a file there whose name is gone, on which nothing can be mounted.
    await this.shell(`umount -n -l ${path} 2>/dev/null || true; mount -n --bind ${bootId} ${path}`)
  }
}
