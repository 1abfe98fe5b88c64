import { existsSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf, ProgramError } from '../errors.ts'
import { Holder } from '../holder/holder.ts'
import { descriptorSink, type LogFormat, Logger } from '../log.ts'
import { AddonLoader } from '../os/addons.ts'
import { DescriptorWatch } from '../os/descriptors/descriptor-watch.ts'
import { Libc } from '../os/libc.ts'
import { makeDirectories } from '../os/mounts/directories.ts'
import { exitAtOnce } from '../os/processes/exit.ts'
import { shareHeap, tidyMemory } from '../os/processes/memory.ts'
import { RateLimitedLog } from '../os/rate-limited-log.ts'
import { SocketFile } from '../os/sockets/socket-file.ts'
import { SocketGuard } from '../os/sockets/socket-guard.ts'
import { socketPath } from '../os/sockets/unix-socket.ts'
import { keepAlive } from '../sd/keep-alive.ts'
import { type NotifyHandler, NotifySocket } from '../sd/notify-socket.ts'
import { ServiceManager } from '../sd/service-manager.ts'
import { commandLine, logFormatOption, parse, seconds } from './command-line.ts'
import type { Program } from './program.ts'
import { lockState } from './state-lock.ts'
import { DAEMON_STOPPING, nextStopSignal } from './stop-signal.ts'

/** The default socket of a holder. */
const HOLDER_SOCKET = '/run/dummy-fuse-csi/holder.sock'

interface Parsed {
  socket: string
  takeoverDeadline: number
  logFormat: LogFormat
}

/** dummy-fuse-csi holder: keeps the sessions of shields while their container is replaced. */
export const holder: Program = async ({ args, env }) => {
  const options = parseHolder(args)
  const path = socketPath(options.socket)
  const libc = new Libc(new AddonLoader())
  shareHeap(libc)
  const log = new Logger(descriptorSink(2), options.logFormat)
  const manager = new ServiceManager(env, libc, log)
  claimFolder(libc, dirname(path))
  const watch = new DescriptorWatch(libc)
  const sessions = new Holder({ libc, watch, deadline: options.takeoverDeadline * 1000, log })
  // The folder is locked by us: a socket that is there is a dead one's.
  rmSync(path, { force: true })
  let socket = listen(libc, path, sessions, log)
  let file = new SocketFile(path)
  const renew = async (): Promise<SocketFile> => {
    if (existsSync(path)) throw new ProgramError('remove that file, and the socket is made again', 1)
    const next = listen(libc, path, sessions, log)
    watch.closeWatched(socket.fd)
    watch.add(next.fd, () => next.drain())
    socket = next
    file = new SocketFile(path)
    return await Promise.resolve(file)
  }
  watch.add(socket.fd, () => socket.drain())
  const lost = Promise.withResolvers<never>()
  watch.run().catch(lost.reject)
  const guard = new SocketGuard({ file, renew, log })
  tidyMemory(libc)
  manager.announce('READY=1')
  keepAlive(manager, () => Promise.resolve(), lost.reject)
  log.info(`keeps sessions on ${path}`)
  await Promise.race([nextStopSignal(DAEMON_STOPPING), lost.promise])
  manager.announce('STOPPING=1')
  await Promise.race([sessions.leave(), lost.promise])
  guard[Symbol.dispose]()
  file.remove()
  exitAtOnce(libc)
  return 0
}

function parseHolder(args: readonly string[]): Parsed {
  const command = commandLine(
    'dummy-fuse-csi holder',
    'Keeps the sessions of shields while their container is replaced: for a container of its own, which needs no privileges.',
  )
    .option('--socket <path>', 'socket to listen on, which shield and serve are given by --holder', HOLDER_SOCKET)
    .option('--takeover-deadline <seconds>', 'how long the session of a shield that has ended is kept', seconds(), 600)
    .addOption(logFormatOption())
    .addHelpText(
      'after',
      `
Stopped while a session waits for its successor, it goes on until the successor has it.

Exit status: 0 stopped by a signal; 1 failed; 2 usage error.`,
    )
  parse(command, args)
  return command.opts<Parsed>()
}

/** Makes the folder of the socket if it is missing, and keeps a second holder off it. Throws ProgramError. */
function claimFolder(libc: Libc, folder: string): void {
  try {
    makeDirectories(folder, 0o700)
  } catch (error) {
    throw new ProgramError(`cannot use the folder ${folder}: ${messageOf(error)}; repair it, or name another with --socket`, 1, {
      cause: error,
    })
  }
  lockState(libc, folder, 'dummy-fuse-csi holder')
}

/** Throws ProgramError. */
function listen(libc: Libc, path: string, sessions: Holder, log: Logger): NotifySocket {
  try {
    const handler: NotifyHandler = {
      // Shields are in another PID namespace, where they have no pid of ours.
      mayNotify: ({ uid }) => uid === process.getuid?.(),
      notice: (notice, descriptors) => sessions.notice(notice, descriptors),
    }
    return new NotifySocket(libc, path, handler, new RateLimitedLog(log))
  } catch (error) {
    throw new ProgramError(`cannot listen on ${path}: ${messageOf(error)}; repair the folder, or name another with --socket`, 1, {
      cause: error,
    })
  }
}
