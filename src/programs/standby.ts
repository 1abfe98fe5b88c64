import { closeSync, existsSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Option } from 'commander'
import { messageOf, ProgramError } from '../errors.ts'
import { drainedFile } from '../fused/drained-file.ts'
import { sendDevices } from '../fused/fetched-devices.ts'
import { Records, recordsFolder } from '../fused/session-records.ts'
import { SESSION_ID } from '../fused/session-id.ts'
import { Standby } from '../fused/standby.ts'
import { StandbyCopies } from '../fused/standby-copies.ts'
import { StandbyInbox } from '../fused/standby-inbox.ts'
import { DAEMON, standbySocket } from '../fused/standby-socket.ts'
import { keepAlive } from '../sd/keep-alive.ts'
import { type NotifyHandler, NotifySocket } from '../sd/notify-socket.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { descriptorSink, type LogFormat, Logger } from '../log.ts'
import { AddonLoader } from '../os/addons.ts'
import { bootId } from '../os/processes/boot-id.ts'
import { DescriptorWatch } from '../os/descriptors/descriptor-watch.ts'
import { type InheritedDescriptor, inheritedDescriptors } from '../os/descriptors/inherited.ts'
import { exitAtOnce } from '../os/processes/exit.ts'
import { Libc } from '../os/libc.ts'
import { shareHeap, tidyMemory } from '../os/processes/memory.ts'
import { SocketFile } from '../os/sockets/socket-file.ts'
import { SocketGuard } from '../os/sockets/socket-guard.ts'
import { ServiceManager } from '../sd/service-manager.ts'
import { absolute } from './absolute.ts'
import { commandLine, logFormatOption, parse, seconds } from './command-line.ts'
import { defaultStateDir } from './fused/early-options.ts'
import { kernelResends, openEngine } from './fused/engine.ts'
import { RECORD_LIMITS, STANDBY_LIMITS } from './fused/limits.ts'
import type { Program } from './program.ts'
import { pollTimeOption } from './session-options.ts'
import { lockState } from './state-lock.ts'
import { DAEMON_STOPPING, nextStopSignal } from './stop-signal.ts'

interface Parsed {
  stateDir: string
  takeoverDeadline: number
  drainDeadline: number
  pollTime: number
  logFormat: LogFormat
  onStop: 'end' | 'serve'
}

/** dummy-fuse-csi standby: serves the sessions of a dummy-fused from its end until its successor is there, and then ends. */
export const standby: Program = async ({ args, env }) => {
  const options = parseStandby(args, env)
  const stateDir = absolute(options.stateDir)
  const libc = new Libc(new AddonLoader())
  shareHeap(libc)
  const inherited = inheritedDescriptors(env, libc)
  const log = new Logger(descriptorSink(2), options.logFormat)
  const manager = new ServiceManager(env, libc, log)
  const records = recordsFolder(stateDir)
  if (!existsSync(records))
    throw new ProgramError(
      `${stateDir} is no state folder of dummy-fused; start that first, or name its folder with --state-dir`,
      1,
    )
  // The state folder itself is its daemon's.
  lockState(libc, records, 'dummy-fuse-csi standby')
  // It may have to go on serving from the moment that it listens.
  const stopSignal = nextStopSignal(DAEMON_STOPPING)
  const lost = Promise.withResolvers<never>()
  const engine = openEngine(options.pollTime, libc, log, lost.reject)
  const watch = new DescriptorWatch(libc)
  const copies = new StandbyCopies(manager, STANDBY_LIMITS.managerPatience, new RateLimitedLog(log))
  const holder = new Standby({
    engine,
    records: new Records(records, RECORD_LIMITS, log),
    copies,
    libc,
    now: { bootId: bootId(), resends: kernelResends() },
    hasDrained: () => existsSync(drainedFile(stateDir)),
    onLost: lost.reject,
  })
  const inbox = new StandbyInbox({
    standby: holder,
    copies,
    libc,
    watch,
    deadline: options.takeoverDeadline * 1000,
    greeting: STANDBY_LIMITS.greeting,
    retry: STANDBY_LIMITS.retry,
    log,
  })
  // The folder is locked by us: a socket that is there is a dead one's.
  const path = standbySocket(stateDir)
  rmSync(path, { force: true })
  const fetched = (): void => {
    sendDevices(libc, path, holder.ids, (id) => holder.device(id)).then(
      (count) => log.info(`handed ${count} descriptors over to a successor`),
      (error: unknown) => log.error(`cannot hand the descriptors over to a successor: ${messageOf(error)}`),
    )
  }
  let socket = listen(libc, path, inbox, fetched, log)
  watch.add(socket.fd, () => socket.drain())
  watch.run().catch(lost.reject)
  inbox.resume(takeOver(inherited, holder))
  // Readers are not to wait for it later.
  await Promise.race([engine.up, lost.promise])
  let file = new SocketFile(path)
  const renew = async (): Promise<SocketFile> => {
    if (existsSync(path)) throw new ProgramError('remove that file, and the socket is made again', 1)
    const next = listen(libc, path, inbox, fetched, log)
    file = new SocketFile(path)
    watch.closeWatched(socket.fd)
    watch.add(next.fd, () => next.drain())
    socket = next
    return await Promise.resolve(file)
  }
  const guard = new SocketGuard({ file, renew, log })
  tidyMemory(libc)
  manager.announce('READY=1')
  keepAlive(manager, () => engine.inspect(), lost.reject)
  const over = Promise.race([inbox.ended, lost.promise])
  const signal = await Promise.race([stopSignal, over])
  manager.announce('STOPPING=1')
  // Its daemon may have been killed or stopped at the same moment, which takes longer to be seen than a signal.
  const needed = inbox.needed.then(() => true)
  const pause = holder.empty ? 0 : STANDBY_LIMITS.stopPause
  if (signal !== undefined && options.onStop === 'serve' && (await Promise.race([needed, over, sleep(pause)])) === true) {
    log.info('stopped while it serves: it goes on until a successor serves')
    await over
  }
  if (holder.serving) await holder.handBack(options.drainDeadline * 1000)
  await copies.settled()
  guard[Symbol.dispose]()
  // A daemon that starts meanwhile waits for the next standby where the socket of this one is left.
  if (signal === 'SIGTERM' || signal === 'SIGINT' || manager.supervisor === 'none') file.remove()
  exitAtOnce(libc)
  return 0
}

/** Has the standby hold the devices that an earlier one has left with the service manager. Returns the pipe of its daemon. */
function takeOver(inherited: readonly InheritedDescriptor[], holder: Standby): number | undefined {
  let daemon: number | undefined
  for (const { fd, name } of inherited) {
    if (SESSION_ID.test(name)) holder.inherit(name, fd)
    else if (name === DAEMON && daemon === undefined) daemon = fd
    else closeSync(fd)
  }
  return daemon
}

function parseStandby(args: readonly string[], env: NodeJS.ProcessEnv): Parsed {
  const command = commandLine(
    'dummy-fuse-csi standby',
    'Serves the sessions of a dummy-fused from its end until its successor serves.',
  )
    .option('--state-dir <folder>', 'state folder of dummy-fused; $RUNTIME_DIRECTORY', defaultStateDir(env))
    .option('--takeover-deadline <seconds>', 'how long it serves if no successor comes', seconds(), 60)
    .option('--drain-deadline <seconds>', 'how long requests that were read may take when a successor serves', seconds(), 2)
    .addOption(
      new Option(
        '--on-stop <what>',
        'what a standby does that is stopped while it serves: end, or serve until a successor does, for a standby in another container than its daemon',
      )
        .choices(['end', 'serve'])
        .default('end'),
    )
    .addOption(pollTimeOption())
    .addOption(logFormatOption())
    .addHelpText(
      'after',
      `
It ends when a successor serves, or when none came in time. Its service manager starts it again.

Exit status: 0 ended so, or stopped by a signal; 1 failed; 2 usage error.`,
    )
  parse(command, args)
  return command.opts<Parsed>()
}

/** Its daemon, which sees it appear, greets it. Throws ProgramError. */
function listen(libc: Libc, path: string, inbox: StandbyInbox, fetched: () => void, log: Logger): NotifySocket {
  try {
    const handler: NotifyHandler = {
      // The daemon may be in another PID namespace, where it has no pid of ours.
      mayNotify: ({ uid }) => uid === process.getuid?.(),
      notice: ({ store, remove, stopping, fetch, barrier }, descriptors) => {
        if (fetch) fetched()
        if (store !== undefined) inbox.store(store.name, descriptors)
        else if (barrier) inbox.passed(descriptors)
        else inbox.taken(descriptors)
        if (remove !== undefined) inbox.remove(remove)
        if (stopping) inbox.serve()
      },
    }
    return new NotifySocket(libc, path, handler, new RateLimitedLog(log))
  } catch (error) {
    throw new ProgramError(
      `cannot listen on ${path}: ${messageOf(error)}; repair the folder, or name another with --state-dir`,
      1,
      {
        cause: error,
      },
    )
  }
}
