# The launcher of `dummy-fuse-csi shield`: it puts a seccomp filter (seccomp(2)) before the program and all that the program starts, and sends the filter's
# listener through descriptor 3, which it closes then. trapped-calls.ts answers the listener.
#
# It has an argument of its own before the program, a path. If that is not empty, the program gets a mount namespace of its own (mount_namespaces(7)):
#   - what is mounted and unmounted outside reaches it, as far as that is shared, and what it mounts stays inside;
#   - what is mounted at the path is not there;
#   - its /dev/fuse is /dev/null, which whoever may not use the device can open too. The descriptor is replaced at mount(2).
#
# The filter has the kernel
#   - report mount(2), umount2(2) and ioctl(2) with FUSE_DEV_IOC_CLONE to the listener, and wait for its answer;
#   - refuse fsopen(2) by ENOSYS, after which libfuse calls mount(2);
#   - refuse fcntl(2) with F_SETPIPE_SZ by EPERM. A pipe of the usual size holds no message that is longer than what one splice(2) moves into a socket in one
#     piece; daemons write longer messages by writev(2).
# Every other call goes on at once.

        .include "launcher-begin.s"

        .set    SYS_close, 3
        .set    SYS_ioctl, 16
        .set    SYS_sendmsg, 46
        .set    SYS_fcntl, 72
        .set    SYS_mount, 165
        .set    SYS_umount2, 166
        .set    SYS_unshare, 272
        .set    SYS_seccomp, 317
        .set    SYS_fsopen, 430
        .set    SECCOMP_SET_MODE_FILTER, 1
        .set    SECCOMP_FILTER_FLAG_NEW_LISTENER, 8
        .set    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 32
        .set    SOL_SOCKET, 1
        .set    SCM_RIGHTS, 1
        .set    CMSG_LEN, 20            # of one descriptor
        .set    CMSG_SPACE, 24
        .set    CHANNEL, 3              # the descriptor that the listener goes through
        .set    FILTER_REFUSED, 202     # as in daemon-process.ts
        .set    NAMESPACE_REFUSED, 204
        .set    CLONE_NEWNS, 0x20000
        .set    MS_BIND, 0x1000
        .set    MS_REC, 0x4000
        .set    MS_SLAVE, 0x80000
        .set    MNT_DETACH, 2
        .set    UMOUNT_NOFOLLOW, 8

        mov     r12, [rsp + 16]         # r12 = argv[1], our own argument
        add     rsp, 8                  # argv goes on behind it, which is all that launcher-end.s looks at
        cmp     byte ptr [r12], 0
        je      namespace_made

        mov     eax, SYS_unshare
        mov     edi, CLONE_NEWNS
        syscall
        test    eax, eax
        js      namespace_refused

        mov     eax, SYS_mount
        xor     edi, edi
        lea     rsi, [rip + root]
        xor     edx, edx
        mov     r10d, MS_REC | MS_SLAVE
        xor     r8d, r8d
        syscall
        test    eax, eax
        js      namespace_refused

        mov     eax, SYS_umount2        # fails where nothing is mounted
        mov     rdi, r12
        mov     esi, MNT_DETACH | UMOUNT_NOFOLLOW
        syscall

        mov     eax, SYS_mount
        lea     rdi, [rip + null_device]
        lea     rsi, [rip + fuse_device]
        xor     edx, edx
        mov     r10d, MS_BIND
        xor     r8d, r8d
        syscall
        test    eax, eax
        js      namespace_refused

namespace_made:
        mov     rbp, rsp

        lea     rax, [rip + filter]
        push    rax                     # struct sock_fprog: filter
        push    (filter_end - filter) / 8 #                  len
        mov     eax, SYS_seccomp
        mov     edi, SECCOMP_SET_MODE_FILTER
        mov     esi, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
        mov     rdx, rsp
        syscall
        test    eax, eax
        js      filter_refused
        mov     r12d, eax               # r12 = the listener, which exec closes

        push    r12                     # the descriptor that is sent
        mov     rax, SCM_RIGHTS << 32 | SOL_SOCKET
        push    rax                     # struct cmsghdr: cmsg_level, cmsg_type
        push    CMSG_LEN                #                 cmsg_len
        mov     r13, rsp                # r13 = the control message
        push    1                       # struct iovec: iov_len
        lea     rax, [rip + filter]
        push    rax                     #               iov_base: a byte, whatever it is
        mov     r14, rsp                # r14 = the vector
        push    0                       # struct msghdr: msg_flags
        push    CMSG_SPACE              #                msg_controllen
        push    r13                     #                msg_control
        push    1                       #                msg_iovlen
        push    r14                     #                msg_iov
        push    0                       #                msg_namelen
        push    0                       #                msg_name
        mov     eax, SYS_sendmsg
        mov     edi, CHANNEL
        mov     rsi, rsp
        xor     edx, edx
        syscall
        test    eax, eax
        js      filter_refused

        mov     eax, SYS_close
        mov     edi, CHANNEL
        syscall
        mov     rsp, rbp
        jmp     execute

filter_refused:
        mov     edi, FILTER_REFUSED
        jmp     exit

namespace_refused:
        mov     edi, NAMESPACE_REFUSED
        jmp     exit

root:   .asciz  "/"
null_device:
        .asciz  "/dev/null"
fuse_device:
        .asciz  "/dev/fuse"

# struct sock_filter: code, how many instructions to skip if true and if false, a value (include/uapi/linux/filter.h).
        .macro  load offset             # of struct seccomp_data, 32 bits
        .short  0x20
        .byte   0, 0
        .long   \offset
        .endm
        .macro  if_equal value, then, else
1:      .short  0x15
        .byte   (\then - 1b) / 8 - 1, (\else - 1b) / 8 - 1
        .long   \value
        .endm
        .macro  return value
        .short  0x06
        .byte   0, 0
        .long   \value
        .endm

        .set    NR, 0                   # offsets in struct seccomp_data; an argument's lower half comes first
        .set    ARCH, 4
        .set    SECOND_ARGUMENT, 24
        .set    AUDIT_ARCH_X86_64, 0xc000003e
        .set    FUSE_DEV_IOC_CLONE, 0x8004e500
        .set    F_SETPIPE_SZ, 1031
        .set    SECCOMP_RET_ALLOW, 0x7fff0000
        .set    SECCOMP_RET_USER_NOTIF, 0x7fc00000
        .set    SECCOMP_RET_ERRNO, 0x00050000
        .set    EPERM, 1
        .set    ENOSYS, 38

        .balign 8
filter:
        load    ARCH
        if_equal AUDIT_ARCH_X86_64, native, allow
native: load    NR
        if_equal SYS_mount, report, not_mount
not_mount:
        if_equal SYS_umount2, report, not_umount
not_umount:
        if_equal SYS_ioctl, is_ioctl, not_ioctl
not_ioctl:
        if_equal SYS_fcntl, is_fcntl, not_fcntl
not_fcntl:
        if_equal SYS_fsopen, is_missing, allow
is_ioctl:
        load    SECOND_ARGUMENT
        if_equal FUSE_DEV_IOC_CLONE, report, allow
is_fcntl:
        load    SECOND_ARGUMENT
        if_equal F_SETPIPE_SZ, is_forbidden, allow
report: return  SECCOMP_RET_USER_NOTIF
is_missing:
        return  SECCOMP_RET_ERRNO | ENOSYS
is_forbidden:
        return  SECCOMP_RET_ERRNO | EPERM
allow:  return  SECCOMP_RET_ALLOW
filter_end:

        .include "launcher-end.s"
