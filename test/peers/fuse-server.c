/*
 * A FUSE file system with the file dummy-file.txt, served by processes that are arranged in different ways. All of them have the name NAME.
 * Started as `fuse-server HOW NAME TARGET`. It returns when the file system is mounted. HOW is one of:
 *   daemonises     the process forks into the background and serves there;
 *   supervised     a supervisor keeps the descriptor, and starts a process that serves it again whenever that is killed;
 *   supervised=MS  the same, and the next process comes so many milliseconds later (as juicefs);
 *   gives-up=MS    a supervisor keeps the descriptor, and closes it so many milliseconds after the process that serves was killed (as juicefs);
 *   held           one process serves, and another one, with the name fd-holder, only holds the descriptor.
 *
 * It is read-only, unless FUSE_SERVER_WRITES says how it writes. Other files are then kept in the folder FUSE_SERVER_STORE, which is written only while the
 * storage answers at the socket FUSE_SERVER_STORAGE (`fuse-server storage SOCKET`; `fuse-server ask SOCKET` succeeds while it answers):
 *   keeps    each write waits until the storage has it;
 *   refuses  each write fails with EIO while the storage does not answer;
 *   forgets  writes are kept in memory until fsync or close. Those fail with EIO while the storage does not answer, and all that is in memory is dropped;
 *   loses    the same, and fsync and close say that all is well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NAME "dummy-file.txt"
#define CONTENT "Hello world!\n"
#define FILE_NODE 2
#define MAX_WRITE 131072

/* include/uapi/linux/fuse.h of Linux 6.9; the kernel asks again for what the process before has read and not answered. */
#define NOTIFY_RESEND 7

/* Files that were written have the nodes from here on. */
#define FIRST_NODE 10
#define MOST_FILES 32
#define MOST_BYTES (4 << 20)

static char buffer[MAX_WRITE + 8192];

struct file {
    char name[128];
    char *bytes;
    size_t size;
};

static struct file files[MOST_FILES];
static const char *writes;

static int connected(const char *path, int seconds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = seconds};
    char byte;
    int answered, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    answered = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && read(fd, &byte, 1) == 1;
    close(fd);
    return answered;
}

/* The storage: answers each connection with a byte. */
static int storage(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 100) != 0) return 1;
    for (;;) {
        int one = accept(fd, NULL, NULL);
        if (one < 0 || send(one, "y", 1, MSG_NOSIGNAL) < 0) perror("answer");
        close(one);
    }
}

/* Whether the storage answers. Its port is closed while it is down. */
static int storage_answers(void)
{
    const char *path = getenv("FUSE_SERVER_STORAGE");
    if (strcmp(writes, "keeps") != 0) return connected(path, 20);
    while (!connected(path, 0)) usleep(50000);
    return 1;
}

static void path_of(const struct file *file, char *path, size_t length)
{
    snprintf(path, length, "%s/%s", getenv("FUSE_SERVER_STORE"), file->name);
}

static void load(struct file *file)
{
    char path[512];
    FILE *stored;
    path_of(file, path, sizeof path);
    memset(file->bytes, 0, MOST_BYTES);
    stored = fopen(path, "r");
    file->size = stored == NULL ? 0 : fread(file->bytes, 1, MOST_BYTES, stored);
    if (stored != NULL) fclose(stored);
}

/* Writes a file to the storage; 0, or -EIO if that does not answer. */
static int store(const struct file *file)
{
    char path[512];
    FILE *stored;
    if (!storage_answers()) return -EIO;
    path_of(file, path, sizeof path);
    stored = fopen(path, "w");
    if (stored == NULL || fwrite(file->bytes, 1, file->size, stored) != file->size || fclose(stored) != 0) return -EIO;
    return 0;
}

static struct file *file_of(uint64_t node)
{
    return node >= FIRST_NODE && node < FIRST_NODE + MOST_FILES && files[node - FIRST_NODE].bytes != NULL ? &files[node - FIRST_NODE] : NULL;
}

static uint64_t node_of(const struct file *file)
{
    return FIRST_NODE + (file - files);
}

/* A file that is known, or that the store has, or that is made; NULL if there is none. */
static struct file *named(const char *name, int make)
{
    char path[512];
    struct file *room = NULL;
    for (int at = 0; at < MOST_FILES; at++) {
        if (files[at].bytes != NULL && strcmp(files[at].name, name) == 0) return &files[at];
        if (files[at].bytes == NULL && room == NULL) room = &files[at];
    }
    if (writes == NULL || room == NULL) return NULL;
    snprintf(room->name, sizeof room->name, "%s", name);
    path_of(room, path, sizeof path);
    if (!make && access(path, F_OK) != 0) return NULL;
    room->bytes = malloc(MOST_BYTES);
    load(room);
    return room;
}

static int is(const char *how)
{
    return strcmp(writes, how) == 0;
}

static int written(struct file *file, const struct fuse_write_in *in)
{
    if (in->offset + in->size > MOST_BYTES) return -EFBIG;
    if (is("refuses") && !storage_answers()) return -EIO;
    memcpy(file->bytes + in->offset, in + 1, in->size);
    if (file->size < in->offset + in->size) file->size = in->offset + in->size;
    return is("keeps") || is("refuses") ? store(file) : 0;
}

/* What fsync and close do. */
static int synced(struct file *file)
{
    if (is("keeps") || store(file) == 0) return 0;
    for (int at = 0; !is("refuses") && at < MOST_FILES; at++)
        if (files[at].bytes != NULL) load(&files[at]);
    return is("loses") ? 0 : -EIO;
}

static void removed(const char *name)
{
    char path[512];
    struct file *file = named(name, 0);
    if (file == NULL) return;
    path_of(file, path, sizeof path);
    unlink(path);
    free(file->bytes);
    file->bytes = NULL;
}

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
    const struct file *file = file_of(node);
    attr.mode = file != NULL ? S_IFREG | 0644 : node == FILE_NODE ? S_IFREG | 0444 : S_IFDIR | 0755;
    attr.size = file != NULL ? file->size : node == FILE_NODE ? strlen(CONTENT) : 0;
    return attr;
}

static void answer(int fd, const struct fuse_in_header *in)
{
    const void *body = in + 1;
    struct file *file = file_of(in->nodeid);
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
        struct file *other = strcmp(body, FILE_NAME) == 0 ? NULL : named(body, 0);
        struct fuse_entry_out out = {.nodeid = other == NULL ? FILE_NODE : node_of(other)};
        if (other == NULL && strcmp(body, FILE_NAME) != 0) break;
        out.attr = attributes(out.nodeid);
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_CREATE: {
        const struct fuse_create_in *create = body;
        struct {
            struct fuse_entry_out entry;
            struct fuse_open_out open;
        } out = {.open = {.open_flags = FOPEN_DIRECT_IO}};
        if (writes == NULL || (file = named((const char *)(create + 1), 1)) == NULL) break;
        out.entry.nodeid = node_of(file);
        out.entry.attr = attributes(out.entry.nodeid);
        reply(fd, in->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_WRITE: {
        const struct fuse_write_in *write = body;
        struct fuse_write_out out = {.size = write->size};
        int error = file == NULL ? -EROFS : written(file, write);
        reply(fd, in->unique, error, &out, error == 0 ? sizeof out : 0);
        return;
    }
    case FUSE_FSYNC:
    case FUSE_FLUSH:
        /* After ENOSYS the kernel would ask for no file any more. */
        reply(fd, in->unique, file == NULL ? 0 : synced(file), NULL, 0);
        return;
    case FUSE_UNLINK:
        if (writes == NULL) break;
        removed(body);
        reply(fd, in->unique, 0, NULL, 0);
        return;
    case FUSE_SETATTR:
    case FUSE_GETATTR: {
        struct fuse_attr_out out = {.attr = attributes(in->nodeid)};
        if (in->opcode == FUSE_SETATTR && file == NULL) break;
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
        const char *bytes = file == NULL ? CONTENT : file->bytes;
        size_t size = file == NULL ? strlen(CONTENT) : file->size;
        size_t length = read->offset < size ? size - read->offset : 0;
        if (length > read->size) length = read->size;
        reply(fd, in->unique, 0, bytes + (length == 0 ? 0 : read->offset), length);
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

/* Milliseconds after which what was killed is started again, or given up. */
static int pause_ms;
static int gives_up;

static void supervise(int fd)
{
    int status;
    for (;;) {
        if (fork() == 0) serve(fd);
        if (wait(&status) < 0) exit(1);
        if (!WIFSIGNALED(status)) exit(0);
        usleep(pause_ms * 1000);
        if (gives_up) exit(0);
    }
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
    int fd, is_supervised;
    if (argc == 3 && strcmp(argv[1], "storage") == 0) return storage(argv[2]);
    if (argc == 3 && strcmp(argv[1], "ask") == 0) return !connected(argv[2], 20);
    fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (argc != 4 || fd < 0) return 2;
    writes = getenv("FUSE_SERVER_WRITES");
    gives_up = sscanf(argv[1], "gives-up=%d", &pause_ms) == 1;
    is_supervised = gives_up || sscanf(argv[1], "supervised=%d", &pause_ms) == 1 || strcmp(argv[1], "supervised") == 0;
    prctl(PR_SET_NAME, argv[2]);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
    if (mount(argv[2], argv[3], "fuse.fuse-server", MS_NOSUID | MS_NODEV, options) != 0) {
        perror("mount");
        return 1;
    }
    if (strcmp(argv[1], "held") == 0) background(hold, fd);
    background(is_supervised ? supervise : serve, fd);
    return 0;
}
