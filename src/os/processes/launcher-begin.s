# How every launcher begins (launcher.ts): a whole ELF file (elf(5)) for x86-64 Linux, which is executed in place of a program and executes that. Between
# fork and exec it does what Node's spawn() cannot.
#
# A launcher is: this file, code and data of its own, launcher-end.s. Its code goes on to `execute` there, and finds
#   rsp: argc, argv, NULL, envp, NULL: as the kernel has laid them, and as launcher-end.s expects them
#   rbx: envp
#
# A constant has to stand before its first use: as(1) takes a later one for an address.
#
# This part
#   1. has the kernel send SIGTERM to the program when its starter dies (prctl(2), PR_SET_PDEATHSIG);
#   2. ends if the starter died before that.

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

        .set    SYS_execve, 59
        .set    SYS_getppid, 110
        .set    SYS_prctl, 157
        .set    SYS_exit_group, 231
        .set    PR_SET_PDEATHSIG, 1
        .set    SIGTERM, 15

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

start:
        mov     eax, SYS_prctl
        mov     edi, PR_SET_PDEATHSIG
        mov     esi, SIGTERM
        syscall

        mov     eax, SYS_getppid
        syscall
        cmp     eax, [rip + starter]
        jne     fail

        mov     rax, [rsp]              # argc
        lea     rbx, [rsp + rax*8 + 16] # rbx = envp

