import { closeSync, writeSync } from 'node:fs'
import { messageOf, ProgramError } from '../errors.ts'
import type { Libc } from '../os/libc.ts'

const MFD_CLOEXEC = 1

/** What stands for a process's own id in the environment that the launcher is given: the launcher writes the id over it. */
export const OWN_PID = '0000000000'

/** The launcher's exit status when it could not execute the program (systemd's EXIT_EXEC). */
export const EXEC_FAILED = 203

/**
 * x86-64, Linux system calls. Does between fork and exec what Node's spawn() cannot: has the kernel send SIGTERM when the keeper
 * dies, and writes its own id into LISTEN_PID= and WATCHDOG_PID= where they hold OWN_PID. Arguments: the file, then the program's
 * argv. A shell would do the second of the two alone, in a millisecond instead of a tenth, where there is one.
 */
function code(keeper: number): Buffer {
  const id = Buffer.alloc(4)
  id.writeInt32LE(keeper)
  const rows = [
    'bf01000000 be0f000000 b89d000000 0f05', //     prctl(PR_SET_PDEATHSIG, SIGTERM)
    'b86e000000 0f05', //                           getppid()
    `3d${id.toString('hex')} 0f859b000000`, //      cmp eax, keeper; jne fail: it died before
    'b827000000 0f05 4189c0', //                    r8d = getpid()
    '488b0424 488d5cc410 4989dc', //                r12 = rbx = envp = rsp + 8 * argc + 16
    '498b3c24 4983c408 4885ff 7464', //       next: rdi = *r12++; jz run
    '48b84c495354454e5f50 483907 750f', //          "LISTEN_P"; jne other
    '817f0849443d30 75db', //                       "ID=0"; jne next
    '4883c70b eb24', //                             rdi += 11; jmp fill
    '48b85741544348444f47 483907 75c6', //   other: "WATCHDOG"; jne next
    '817f085f504944 75bd', //                       "_PID"; jne next
    '66817f0c3d30 75b5', //                         "=0"; jne next
    '4883c70d', //                                  rdi += 13
    '4489c0 b90a000000 31f6', //              fill: eax = r8d; ecx = 10; esi = 0
    '31d2 f7f1 52 ffc6 85c0 75f5', //        digit: push eax % 10; eax /= 10; esi++; jnz digit
    '58 0430 aa ffce 75f8', //               write: *rdi++ = pop + '0'; esi--; jnz write
    'c60700 eb8f', //                               *rdi = 0; jmp next
    '488b7c2410 488d742418 4889da', //         run: execve(argv[1], argv + 2, envp)
    'b83b000000 0f05',
    'bfcb000000 b8e7000000 0f05', //          fail: exit_group(EXEC_FAILED)
  ]
  return Buffer.from(rows.join('').replaceAll(' ', ''), 'hex')
}

/** An ELF file (elf(5)) of one segment that is the whole file, with a stack that holds no code. */
function executable(keeper: number): Buffer {
  const base = 0x400000
  const text = code(keeper)
  const header = Buffer.alloc(64 + 2 * 56)
  header.write('\x7fELF\x02\x01\x01', 'latin1')
  header.writeUInt16LE(2, 16) // ET_EXEC
  header.writeUInt16LE(62, 18) // EM_X86_64
  header.writeUInt32LE(1, 20)
  header.writeBigUInt64LE(BigInt(base + header.length), 24) // e_entry
  header.writeBigUInt64LE(64n, 32) // e_phoff
  header.writeUInt16LE(64, 52)
  header.writeUInt16LE(56, 54)
  header.writeUInt16LE(2, 56)
  const size = BigInt(header.length + text.length)
  header.writeUInt32LE(1, 64) // PT_LOAD
  header.writeUInt32LE(5, 68) // PF_R | PF_X
  header.writeBigUInt64LE(BigInt(base), 80)
  header.writeBigUInt64LE(size, 96)
  header.writeBigUInt64LE(size, 104)
  header.writeBigUInt64LE(0x1000n, 112)
  header.writeUInt32LE(0x6474e551, 120) // PT_GNU_STACK
  header.writeUInt32LE(6, 124) // PF_R | PF_W
  return Buffer.concat([header, text])
}

/** A file without a name that is executed in place of a program, and executes that. */
export class Launcher {
  readonly #fd: number

  /** Throws ProgramError, status 1. */
  constructor(libc: Libc) {
    try {
      this.#fd = libc.checked('memfd_create', undefined, 'int memfd_create(str, uint)', 'dummy-fuse-keep', MFD_CLOEXEC)
      writeSync(this.#fd, executable(process.pid))
    } catch (error) {
      const advice = 'the sysctl vm.memfd_noexec must not be 2'
      throw new ProgramError(`cannot make an executable file in memory: ${messageOf(error)}; ${advice}`, 1, { cause: error })
    }
  }

  /** By way of our id: /proc/self would be the child's, where another descriptor may have taken the number. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`
  }

  close(): void {
    closeSync(this.#fd)
  }
}
