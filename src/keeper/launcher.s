# The launcher of `dummy-fuse-csi keep`: it writes its own process id, which exec keeps, into LISTEN_PID= and WATCHDOG_PID= of the environment (OWN_PID in
# command.ts).
#
# A shell could do that too, in a millisecond instead of a tenth, and only where there is one.

        .include "launcher-begin.s"

        .set    SYS_getpid, 39

        jmp     own_part

listen_pid:
        .ascii  "LISTEN_PID=0"          # OWN_PID begins with 0
        .set    LISTEN_PID_SIZE, . - listen_pid
watchdog_pid:
        .ascii  "WATCHDOG_PID=0"
        .set    WATCHDOG_PID_SIZE, . - watchdog_pid

own_part:
        mov     eax, SYS_getpid
        syscall
        mov     r8d, eax                # r8d = own process id

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

        .include "launcher-end.s"
