import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { processIds } from '../processes/processes.ts'

/** A unix socket that is listened on, and who does. */
export interface ListeningSocket {
  /** As it was bound; empty for one that has no path. */
  readonly path: string
  /** Processes of our process namespace that have it open. */
  readonly pids: readonly number[]
}

/** __SO_ACCEPTCON in the flags of /proc/net/unix (net/unix/af_unix.c, unix_seq_show). */
const LISTENS = '00010000'

/** The unix sockets of this network namespace that are listened on, with the processes that hold them. */
export function listeningSockets(): readonly ListeningSocket[] {
  const holders = new Map<string, number[]>()
  for (const pid of processIds()) for (const inode of socketsOf(pid)) holders.set(inode, [...(holders.get(inode) ?? []), pid])
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, , , flags, , , inode = '', ...path] = line.trim().split(/\s+/)
      return flags === LISTENS ? [{ path: path.join(' '), pids: holders.get(inode) ?? [] }] : []
    })
}

function socketsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? []
      return inode === undefined ? [] : [inode]
    })
  } catch {
    // It ended, or closed one meanwhile.
    return []
  }
}
