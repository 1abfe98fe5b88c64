import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, messageOf } from '../../errors.ts'
import { CallError } from '../../grpc/client.ts'
import type { Libc } from '../../os/libc.ts'
import { isFuse } from '../../os/mounts/mount-table.ts'
import { readMountinfo, topmostAt } from '../../os/mounts/mountinfo.ts'
import { describeEnd } from '../../os/processes/child-program.ts'
import { run } from '../../os/processes/run.ts'
import { listeningSockets } from '../../os/sockets/listening-sockets.ts'
import { ContainerPlugin } from '../cell/container-plugin.ts'
import { nodeMounts } from '../cell/evidence.ts'
import { Timeline } from '../cell/timeline.ts'
import { processesWithFuse, whoAnswers } from '../cell/who-answers.ts'
import { startClock } from '../clock.ts'
import { isFinal } from '../final-answer.ts'
import { FuseMounts } from '../fuse-mounts.ts'
import { Kubelet, type Volume } from '../kubelet.ts'
import { KUBELET, stagingPath, targetPath } from '../node-paths.ts'
import type { WrittenFiles } from '../own-root.ts'
import { PodCgroups } from '../pod-cgroups.ts'
import { Provisioner } from '../provisioner.ts'
import { runShell } from '../shell.ts'
import { STEP_DEADLINE } from '../wait.ts'
import { askCapabilities } from './ask.ts'
import { driverContainer, nodeHelpers } from './container.ts'
import { makeDriverFolders, writtenOnNode } from './node.ts'
import { refusedField } from './refused-field.ts'
import type { About, DriverSeen, HealthSeen, Holder, MountedAt, PluginSeen, ReadSeen, StepFailure, TrialStep } from './seen.ts'
import { lateWords, misnamedFile } from './findings.ts'
import { firstRead } from './first-read.ts'
import { fillPlaces } from './places.ts'
import type { DriverSpec } from './spec.ts'
import { wantsSystemd } from './wants-systemd.ts'

/** What is handed to the private node. `whole`: each process that holds the volume's connection is stopped, also one that is alone. */
export interface DriverJob {
  readonly kind: 'driver'
  readonly driver: DriverSpec
  readonly whole: boolean
}

/** Milliseconds between two attempts. */
const BACK_OFF = 250

/** The part of `callTimeout` after which an answer DEADLINE_EXCEEDED is due to that. Drivers give up themselves just before their caller does. */
const NEARLY_ALL = 0.9

/** Milliseconds that a daemon has to end when its volume has gone. */
const LATE_END = 2000

/** A step has failed, and with it those that need it. */
class Ended extends Error {}

/** Carries a driver and its volume through their life, on a private node that ends after it with all that it leaves. */
export async function carryOutDriverTrial(job: DriverJob, libc: Libc): Promise<DriverSeen> {
  return await new Trial(job, writtenOnNode(job.driver, libc)).run()
}

class Trial {
  readonly #driver: DriverSpec
  readonly #whole: boolean
  readonly #timeline = new Timeline(startClock(), (_name, { line }) => this.#log.push(line))
  readonly #log: string[] = []
  readonly #steps: TrialStep[] = []
  readonly #plugin: ContainerPlugin
  readonly #kubelet: Kubelet
  readonly #provisioner: Provisioner
  readonly #fuse = new FuseMounts()
  readonly #written: WrittenFiles
  #volume: Volume
  #said: PluginSeen | undefined
  #mounts: readonly MountedAt[] = []
  #holders: readonly Holder[] = []
  #health: HealthSeen | undefined
  #read: ReadSeen | undefined
  #refusesWrites: string | undefined

  constructor({ driver, whole }: DriverJob, written: WrittenFiles) {
    this.#written = written
    this.#driver = driver
    this.#whole = whole
    this.#plugin = new ContainerPlugin(driverContainer(driver, this.#timeline), this.#timeline)
    this.#kubelet = new Kubelet(driver.socket, driver.callTimeout)
    this.#provisioner = new Provisioner(driver.socket, driver.callTimeout)
    this.#volume = driver.volume
  }

  async run(): Promise<DriverSeen> {
    const { prepare, create } = this.#driver
    try {
      await this.#once('prepare', 'file', async () => {
        makeDriverFolders(this.#driver)
        if (prepare !== undefined) await inShell(prepare)
      })
      if (this.#driver.podCgroups) await this.#once('podCgroups', 'machine', hasPodCgroups)
      this.#written.begin()
      const helpers = nodeHelpers(this.#driver, this.#timeline)
      if (this.#driver.helpers.length > 0) await this.#once('helpers', 'file', () => helpers.start())
      await this.#once('start', 'driver', () => this.#start())
      await this.#call('GetPluginInfo', () => this.#kubelet.register())
      await this.#call('NodeGetCapabilities', async () => {
        this.#said = await askCapabilities(this.#driver.socket, this.#driver.callTimeout)
        this.#agrees(this.#said)
      })
      if (create === undefined) await this.#throughNode()
      else await this.#throughCreation(create)
    } catch (error) {
      if (!(error instanceof Ended)) throw error
    }
    const left = await this.#left()
    if (this.#whole) await this.#once('stop', 'driver', () => this.#plugin.stop()).catch(ended)
    else await this.#plugin.kill()
    await this.#plugin.heard()
    return {
      steps: this.#steps,
      plugin: this.#said,
      mounts: this.#mounts,
      holders: this.#holders,
      health: this.#health,
      read: this.#read,
      ...(this.#refusesWrites === undefined ? {} : { refusesWrites: this.#refusesWrites }),
      left,
      ...this.#written.since(this.#driver.socket),
      log: this.#log,
    }
  }

  async #start(): Promise<void> {
    const [executable = ''] = this.#driver.start
    if (!existsSync(executable)) throw new Blamed('file', `start: there is no ${executable}`)
    try {
      await this.#plugin.start()
    } catch (error) {
      const [pid] = await this.#plugin.pids()
      if (pid === undefined)
        throw new Blamed('driver', `the plugin ended before it listened (${describeEnd(await this.#plugin.ended())})`, {
          cause: error,
        })
      const others = listeningSockets().filter(({ path, pids }) => path !== '' && pids.includes(pid))
      const where = others.length === 0 ? 'on no unix socket' : `on ${others.map(({ path }) => path).join(', ')}`
      throw new Blamed(
        'file',
        `the plugin runs, and does not listen on ${this.#driver.socket} after ${STEP_DEADLINE / 1000} s; it listens ${where}. Give it {socket}, or say with socket where it listens`,
        { cause: error },
      )
    }
  }

  /** Throws Error if the file does not say what the driver says of staging. */
  #agrees({ node }: PluginSeen): void {
    const stages = node.includes('STAGE_UNSTAGE_VOLUME')
    if (stages === (this.#volume.staged !== false)) return
    throw new Error(
      stages
        ? 'the driver stages volumes (STAGE_UNSTAGE_VOLUME), and the file says volume.staged: false'
        : 'the driver stages no volumes (it has no STAGE_UNSTAGE_VOLUME); say volume.staged: false',
    )
  }

  /** What is left after the last step, once the volume has gone: a daemon has a moment to end. */
  async #left(): Promise<readonly string[]> {
    if (!this.#steps.some(({ name, failure }) => name === 'NodeUnpublishVolume' && failure === undefined)) return []
    const end = performance.now() + LATE_END
    for (;;) {
      const holding = (await this.#holding()).map(({ comm, pid }) => `${comm}[${pid}] holds /dev/fuse`)
      const left = [...nodeMounts(), ...holding]
      if (left.length === 0 || performance.now() > end) return left
      await sleep(BACK_OFF)
    }
  }

  async #throughCreation(create: NonNullable<DriverSpec['create']>): Promise<void> {
    const name = `pvc-${randomUUID()}`
    await this.#call('CreateVolume', async () => {
      this.#volume = await this.#provisioner.create(this.#volume, name, create)
    })
    try {
      await this.#throughNode()
    } finally {
      await this.#call('DeleteVolume', () => this.#provisioner.delete(this.#volume)).catch(ended)
    }
  }

  async #throughNode(): Promise<void> {
    const volume = this.#volume
    await this.#call('NodeStageVolume', () => this.#kubelet.stage(volume), volume.staged !== false)
    try {
      await this.#throughPod(randomUUID())
    } finally {
      await this.#call('NodeUnstageVolume', () => this.#kubelet.unstage(volume), volume.staged !== false).catch(ended)
    }
  }

  async #throughPod(uid: string): Promise<void> {
    const [volume, target] = [this.#volume, targetPath(uid, this.#volume.pv)]
    await this.#call('NodePublishVolume', () => this.#kubelet.publish(volume, uid))
    const publishedAt = performance.now()
    try {
      const { populate } = this.#driver
      if (populate !== undefined) await this.#once('populate', 'file', () => populated(populate, target))
      await this.#look(target, publishedAt)
    } finally {
      await this.#call('NodeUnpublishVolume', () => this.#kubelet.unpublish(volume, uid)).catch(ended)
    }
  }

  /** Looks at what is published. */
  async #look(target: string, publishedAt: number): Promise<void> {
    this.#read = await this.#reads(target, publishedAt)
    const hasStorage = this.#driver.helpers.some(({ storage }) => storage)
    if (hasStorage && this.#read.saw === 'right') this.#refusesWrites = await whyNotWritten(join(target, this.#driver.file))
    const staging = stagingPath(this.#volume.pv)
    const lines = readMountinfo()
    const below = lines.map(({ mountPoint }) => mountPoint).filter((path) => path.startsWith(`${KUBELET}/`))
    const paths = new Set([...below, ...this.#fuse.paths()])
    this.#mounts = [...paths].flatMap((path) => {
      const mount = topmostAt(lines, path)
      if (mount === undefined) return []
      const at = path === staging ? 'staging' : path === target ? 'target' : path
      const { fsType, source } = mount
      return [{ at, fsType, source, fuse: isFuse(fsType), connection: this.#fuse.connectionsAt([path])[0] }]
    })
    // What was mounted just after the last read.
    if (misnamedFile(this.#driver, { mounts: this.#mounts, read: this.#read }) !== undefined)
      this.#read = await this.#reads(target, publishedAt)
    this.#health = await this.#healthOf()
    this.#holders = await this.#looked(this.#fuse.mountsOf([target, staging]))
  }

  /** The processes that hold /dev/fuse, and which of them answer at these mounts, as far as that is not clear. */
  async #looked(mounts: ReadonlyMap<number, string>): Promise<readonly Holder[]> {
    const all = await this.#holding()
    const ofVolume = all.filter(({ connection }) => mounts.has(connection))
    const tried = this.#whole
      ? ofVolume
      : ofVolume.filter((one) => ofVolume.some(({ pid, connection }) => pid !== one.pid && connection === one.connection))
    const others = all.filter((one) => !tried.includes(one)).map((one) => ({ ...one, answers: undefined }))
    return [...(await whoAnswers(tried, mounts)), ...others]
  }

  async #healthOf(): Promise<HealthSeen> {
    if (this.#said?.node.includes('GET_VOLUME_HEALTH') !== true) return 'no capability'
    try {
      await this.#kubelet.inaccessible(this.#volume)
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      if (error.code === 'UNIMPLEMENTED') return 'unimplemented'
    }
    return 'implemented'
  }

  async #reads(target: string, publishedAt: number): Promise<ReadSeen> {
    const { file, content, fuse, watch } = this.#driver
    const { attempt, afterMs } = await firstRead({
      elapsed: () => performance.now() - publishedAt,
      read: async (deadline) => {
        const { kind, status, stdout, stderr } = await run('cat', [join(target, file)], deadline)
        const wrong = stdout === content ? 'right' : 'wrong'
        const saw =
          kind !== 'exited' ? `no answer within ${deadline / 1000} s` : status === 0 ? wrong : stderr.trim().replace(/^.*: /, '')
        return { kind, saw, held: stdout }
      },
      isMounted: () => {
        const mount = topmostAt(readMountinfo(), target)
        return mount !== undefined && (!fuse || isFuse(mount.fsType))
      },
      watch,
    })
    const { kind, saw, held } = attempt
    return { saw, afterMs, names: kind === 'exited' ? namesIn(target) : [], held: saw === 'wrong' ? held : undefined }
  }

  async #holding(): Promise<readonly Omit<Holder, 'answers'>[]> {
    const plugins = await this.#plugin.pids()
    return processesWithFuse().map((one) => ({ ...one, plugin: plugins.includes(one.pid) }))
  }

  /** A call of the kubelet or the provisioner, again until it is answered OK, or with what stays so, or the time is over. */
  async #call(name: string, act: () => Promise<unknown>, needed = true): Promise<void> {
    if (!needed) return
    const began = performance.now()
    const { callTimeout } = this.#driver
    const deadline = STEP_DEADLINE + callTimeout
    let late = 0
    for (let attempts = 1; ; attempts++) {
      const start = performance.now()
      try {
        await act()
        this.#steps.push({ name, tookMs: Math.round(performance.now() - start), attempts, late, failure: undefined })
        return
      } catch (error) {
        const now = performance.now()
        const tookMs = Math.round(now - began)
        if (!(error instanceof CallError))
          this.#fail(name, { about: 'file', what: messageOf(error), answer: undefined }, { tookMs, attempts, late })
        const { code, details } = error
        if (code === 'DEADLINE_EXCEEDED' && now - start >= NEARLY_ALL * callTimeout) late++
        const field = refusedField(this.#driver, name, error)
        // An option that a mount program does not know is refused for good, whatever code the driver makes of that.
        const final = isFinal(error) || this.#missesSystemd(details) || (field !== undefined && code !== 'NOT_FOUND')
        if (!final && tookMs < deadline) {
          await sleep(BACK_OFF)
          continue
        }
        const about: About = field !== undefined || code === 'UNIMPLEMENTED' || late > 0 ? 'file' : 'driver'
        const answer = field === undefined ? messageOf(error) : `the driver refuses ${field}: ${code}: ${details}`
        const what = late > 0 ? `${lateWords(this.#driver, { late, attempts })}: ${answer}` : answer
        this.#fail(name, { about, what, answer: details }, { tookMs, attempts, late })
      }
    }
  }

  async #once(name: string, about: About, act: () => Promise<void>): Promise<void> {
    const began = performance.now()
    try {
      await act()
      this.#steps.push({ name, tookMs: Math.round(performance.now() - began), attempts: 1, late: 0, failure: undefined })
    } catch (error) {
      const failure = { about: error instanceof Blamed ? error.about : about, what: messageOf(error), answer: undefined }
      this.#fail(name, failure, { tookMs: Math.round(performance.now() - began), attempts: 1, late: 0 })
    }
  }

  #fail(name: string, failure: StepFailure, how: Pick<TrialStep, 'tookMs' | 'attempts' | 'late'>): never {
    const { what, answer } = failure
    const misses = this.#missesSystemd(what) || (name === 'start' && this.#log.some((line) => this.#missesSystemd(line)))
    const told: StepFailure = misses
      ? { about: 'file', what: `the driver asks for systemd, and its node has none; say systemd: true: ${what}`, answer }
      : failure
    this.#steps.push({ name, ...how, failure: told })
    throw new Ended(name)
  }

  #missesSystemd(text: string): boolean {
    return !this.#driver.systemd && wantsSystemd(text)
  }
}

/** A failure that is known to be about something else than its step. */
class Blamed extends Error {
  readonly about: About

  constructor(about: About, message: string, options?: ErrorOptions) {
    super(message, options)
    this.about = about
  }
}

/** The step has been noted. */
function ended(error: unknown): void {
  if (!(error instanceof Ended)) throw error
}

/** Runs a process in a cgroup of a pod, and has it say where it is. */
async function hasPodCgroups(): Promise<void> {
  const [cgroups, uid] = [new PodCgroups(), randomUUID()]
  const { executable, args } = cgroups.inContainer(uid, { executable: 'cat', argv0: 'cat', args: ['/proc/self/cgroup'] })
  const { stdout, stderr } = await run(executable, args, STEP_DEADLINE)
  cgroups.remove(uid)
  if (!stdout.replaceAll('_', '-').includes(`-pod${uid}.slice/cri-containerd-`))
    throw new Error(`a process cannot be brought into the cgroup of a pod: ${stderr.trim() || stdout.trim()}`)
}

/** Why a file beside `file` cannot be written as a consumer writes (consumer/record-files.ts); undefined if it can. Removes it again. */
async function whyNotWritten(file: string): Promise<string | undefined> {
  const path = join(dirname(file), `trial-of-the-lab-${randomUUID().slice(0, 8)}`)
  const record = 'dd if=/dev/zero of="$0" bs=64 count=1 conv=notrunc,fsync status=none'
  const { kind, status, stderr } = await run(
    'sh',
    ['-c', `${record} && ${record} seek=1; was=$?; rm -f "$0"; exit $was`, path],
    STEP_DEADLINE,
  )
  if (kind !== 'exited') return `no answer within ${STEP_DEADLINE / 1000} s`
  return status === 0 ? undefined : (stderr.trim().split('\n')[0] ?? '').replace(/^.*: /, '')
}

async function inShell(line: string): Promise<void> {
  const { status, output } = await runShell([], line)
  if (status !== 0) throw new Error(`exit status ${status}${output === '' ? '' : `: ${output}`}`)
}

/** Runs `populate` on a published volume. Rejects with an Error that tells what the volume has if that is not empty. */
async function populated(line: string, target: string): Promise<void> {
  try {
    await inShell(fillPlaces(line, ['target'], () => target))
  } catch (error) {
    const names = namesIn(target)
    if (names.length === 0) throw error
    throw new Error(
      `${messageOf(error)} (the volume has ${names.join(', ')}); for a volume that has its file already, leave populate out and say which file`,
      { cause: error },
    )
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).slice(0, 10)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return []
  }
}
