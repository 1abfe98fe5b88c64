# How every launcher ends. launcher-begin.s says what stands before it.

        .set    EXEC_FAILED, 203        # as in launcher.ts

execute:
        mov     eax, SYS_execve
        mov     rdi, [rsp + 16]         # argv[1]
        lea     rsi, [rsp + 24]         # argv + 2
        mov     rdx, rbx
        syscall                         # returns only if it fails

fail:
        mov     edi, EXEC_FAILED
exit:                                   # edi = the exit status
        mov     eax, SYS_exit_group
        syscall

starter:                                # the starter's process id: launcher.ts writes it into the last four bytes of the file
        .long   0
file_end:
