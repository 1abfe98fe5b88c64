/*
 * A FUSE file system of one file, dummy-file.txt, served by processes that are arranged in different ways. All of them have the name NAME.
 * Started as `fuse-server HOW NAME TARGET`. It returns when the file system is mounted. HOW is one of:
 *   daemonises  the process forks into the background and serves there;
 *   supervised  a supervisor keeps the descriptor, and starts a process that serves it again whenever that is killed;
 *   held        one process serves, and another one, with the name fd-holder, only holds the descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NAME "dummy-file.txt"
#define CONTENT "Hello world!\n"
#define FILE_NODE 2
#define MAX_WRITE 131072

/* include/uapi/linux/fuse.h of Linux 6.9; the kernel asks again for what the process before has read and not answered. */
#define NOTIFY_RESEND 7

static char buffer[MAX_WRITE + 8192];

static void reply(int fd, uint64_t unique, int error, const void *body, size_t length)
{
    struct fuse_out_header header = {.len = sizeof header + length, .error = error, .unique = unique};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)body, length}};
    /* ENOENT: the request was interrupted. */
    if (writev(fd, parts, 2) < 0 && errno == ENODEV) exit(0);
}

static struct fuse_attr attributes(uint64_t node)
{
    struct fuse_attr attr = {.ino = node, .nlink = 1, .blksize = 4096};
    attr.mode = node == FILE_NODE ? S_IFREG | 0444 : S_IFDIR | 0755;
    attr.size = node == FILE_NODE ? strlen(CONTENT) : 0;
    return attr;
}

static void answer(int fd, const struct fuse_in_header *in)
{
    const void *body = in + 1;
    switch (in->opcode) {
    case FUSE_INIT: {
        const struct fuse_init_in *init = body;
        struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = init->max_readahead};
        out.max_write = MAX_WRITE;
        out.time_gran = 1;
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_LOOKUP: {
        struct fuse_entry_out out = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
        if (strcmp(body, FILE_NAME) != 0) break;
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_GETATTR: {
        struct fuse_attr_out out = {.attr = attributes(in->nodeid)};
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_OPEN:
    case FUSE_OPENDIR: {
        struct fuse_open_out out = {.open_flags = in->opcode == FUSE_OPEN ? FOPEN_DIRECT_IO : 0};
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_READ: {
        const struct fuse_read_in *read = body;
        size_t length = read->offset < strlen(CONTENT) ? strlen(CONTENT) - read->offset : 0;
        if (length > read->size) length = read->size;
        reply(fd, in->unique, 0, CONTENT + (length == 0 ? 0 : read->offset), length);
        return;
    }
    case FUSE_STATFS: {
        struct fuse_statfs_out out = {.st = {.bsize = 4096, .namelen = 255}};
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_READDIR:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        reply(fd, in->unique, 0, NULL, 0);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return;
    }
    reply(fd, in->unique, in->opcode == FUSE_LOOKUP ? -ENOENT : in->opcode == FUSE_CREATE ? -EROFS : -ENOSYS, NULL, 0);
}

/* Serves until the file system is unmounted. */
static void serve(int fd)
{
    struct fuse_out_header resend = {.len = sizeof resend, .error = NOTIFY_RESEND};
    /* EINVAL before Linux 6.9. */
    if (write(fd, &resend, sizeof resend) < 0 && errno == ENODEV) exit(0);
    for (;;) {
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length > 0) answer(fd, (struct fuse_in_header *)buffer);
        else if (errno == ENODEV) exit(0);
    }
}

static void supervise(int fd)
{
    int status;
    do {
        if (fork() == 0) serve(fd);
        if (wait(&status) < 0) exit(1);
    } while (WIFSIGNALED(status));
    exit(0);
}

/* Holds the descriptor until the file system is unmounted. */
static void hold(int fd)
{
    struct pollfd device = {.fd = fd};
    prctl(PR_SET_NAME, "fd-holder");
    while (poll(&device, 1, -1) < 1) continue;
    exit(0);
}

/* Has `act` done in the background. */
static void background(void (*act)(int), int fd)
{
    int null;
    if (fork() != 0) return;
    setsid();
    null = open("/dev/null", O_RDWR);
    for (int at = 0; at < 3; at++) dup2(null, at);
    act(fd);
}

int main(int argc, char **argv)
{
    char options[100];
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (argc != 4 || fd < 0) return 2;
    prctl(PR_SET_NAME, argv[2]);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
    if (mount(argv[2], argv[3], "fuse.fuse-server", MS_NOSUID | MS_NODEV, options) != 0) {
        perror("mount");
        return 1;
    }
    if (strcmp(argv[1], "held") == 0) background(hold, fd);
    background(strcmp(argv[1], "supervised") == 0 ? supervise : serve, fd);
    return 0;
}
