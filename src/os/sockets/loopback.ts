import { closeSync } from 'node:fs'
import type { Libc } from '../libc.ts'

/** include/linux/socket.h, net.h, if.h and sockios.h. */
const AF_INET = 2
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const IFF_UP = 1
const SIOCSIFFLAGS = 0x8914
/** sizeof(struct ifreq), and where its flags are. */
const IFREQ = 40
const FLAGS = 16

/** Brings the loopback interface of this process's network namespace up; the kernel gives it 127.0.0.1 and ::1 then (netdevice(7)). Throws SystemError. */
export function raiseLoopback(libc: Libc): void {
  const socket = libc.checked('socket', undefined, 'int socket(int, int, int)', AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  try {
    const request = Buffer.alloc(IFREQ)
    request.write('lo')
    request.writeInt16LE(IFF_UP, FLAGS)
    libc.checked('ioctl', 'lo', 'int ioctl(int, ulong, void *)', socket, SIOCSIFFLAGS, request)
  } finally {
    closeSync(socket)
  }
}
