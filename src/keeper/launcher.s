# The launcher of `dummy-fuse-csi keep`: a whole ELF file (elf(5)) for x86-64 Linux. packaging/launcher.mjs assembles it at build time.
#
# It does between fork and exec what Node's spawn() cannot:
#   1. has the kernel send SIGTERM to the program when the keeper dies (prctl(2), PR_SET_PDEATHSIG);
#   2. ends if the keeper died before that;
#   3. writes its own process id, which exec keeps, into LISTEN_PID= and WATCHDOG_PID= of the environment (OWN_PID in launcher.ts);
#   4. executes the program.
#
# Arguments: argv[1] is the program's file, argv[2] and what follows is the program's argv.
# A shell could do 3 alone, in a millisecond instead of a tenth, and only where there is one.

        .intel_syntax noprefix

        .set    BASE, 0x400000          # address of the file in memory
        .set    EHDR_SIZE, 64
        .set    PHDR_SIZE, 56
        .set    ET_EXEC, 2
        .set    EM_X86_64, 62
        .set    EV_CURRENT, 1
        .set    PT_LOAD, 1
        .set    PT_GNU_STACK, 0x6474e551
        .set    PF_X, 1
        .set    PF_W, 2
        .set    PF_R, 4

        .set    SYS_getpid, 39
        .set    SYS_execve, 59
        .set    SYS_getppid, 110
        .set    SYS_prctl, 157
        .set    SYS_exit_group, 231
        .set    PR_SET_PDEATHSIG, 1
        .set    SIGTERM, 15
        .set    EXEC_FAILED, 203        # as in launcher.ts

file:                                   # Elf64_Ehdr
        .ascii  "\177ELF"
        .byte   2, 1, EV_CURRENT        # ELFCLASS64, ELFDATA2LSB
        .zero   9
        .short  ET_EXEC, EM_X86_64
        .long   EV_CURRENT
        .quad   BASE + (start - file)   # e_entry
        .quad   EHDR_SIZE               # e_phoff: the program headers come next
        .quad   0                       # e_shoff: no sections
        .long   0
        .short  EHDR_SIZE, PHDR_SIZE, 2 # two program headers
        .short  0, 0, 0

                                        # Elf64_Phdr: the whole file is one segment of code.
        .long   PT_LOAD, PF_R | PF_X
        .quad   0, BASE, 0
        .quad   file_end - file, file_end - file
        .quad   0x1000

                                        # Elf64_Phdr: the stack holds no code.
        .long   PT_GNU_STACK, PF_R | PF_W
        .quad   0, 0, 0, 0, 0, 0

listen_pid:
        .ascii  "LISTEN_PID=0"          # OWN_PID begins with 0
        .set    LISTEN_PID_SIZE, . - listen_pid
watchdog_pid:
        .ascii  "WATCHDOG_PID=0"
        .set    WATCHDOG_PID_SIZE, . - watchdog_pid

start:                                  # rsp: argc, argv, NULL, envp, NULL
        mov     eax, SYS_prctl
        mov     edi, PR_SET_PDEATHSIG
        mov     esi, SIGTERM
        syscall

        mov     eax, SYS_getppid
        syscall
        cmp     eax, [rip + keeper]
        jne     fail

        mov     eax, SYS_getpid
        syscall
        mov     r8d, eax                # r8d = own process id

        mov     rax, [rsp]              # argc
        lea     rbx, [rsp + rax*8 + 16] # rbx = envp
        mov     r12, rbx                # r12 = the next entry of envp

next_variable:
        mov     r13, [r12]              # r13 = a variable, NAME=VALUE
        add     r12, 8
        test    r13, r13
        jz      execute

        mov     rdi, r13
        lea     rsi, [rip + listen_pid]
        mov     ecx, LISTEN_PID_SIZE
        repe    cmpsb
        je      write_own_pid

        mov     rdi, r13
        lea     rsi, [rip + watchdog_pid]
        mov     ecx, WATCHDOG_PID_SIZE
        repe    cmpsb
        jne     next_variable

write_own_pid:
        dec     rdi                     # rdi = the first digit of the value
        mov     eax, r8d
        mov     ecx, 10
        xor     esi, esi                # esi = number of digits
next_digit:                             # the last digit is pushed first
        xor     edx, edx
        div     ecx
        push    rdx
        inc     esi
        test    eax, eax
        jnz     next_digit
write_digit:
        pop     rax
        add     al, '0'
        stosb
        dec     esi
        jnz     write_digit
        mov     byte ptr [rdi], 0
        jmp     next_variable

execute:
        mov     eax, SYS_execve
        mov     rdi, [rsp + 16]         # argv[1]
        lea     rsi, [rsp + 24]         # argv + 2
        mov     rdx, rbx
        syscall                         # returns only if it fails

fail:
        mov     eax, SYS_exit_group
        mov     edi, EXEC_FAILED
        syscall

keeper:                                 # the keeper's process id: launcher.ts writes it into the last four bytes of the file
        .long   0
file_end:
