/*
 * Binds a mount into another mount namespace, as a mount service does that repairs the volumes of pods which run.
 * Started as `bind-into PATH PID TARGET`: what is mounted at PATH here is bound to TARGET in the mount namespace of process PID.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int checked(const char *what, int result)
{
    if (result >= 0) return result;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    char path[64];
    int tree, space;
    if (argc != 4) return 2;
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", argv[2]);
    space = checked(path, open(path, O_RDONLY | O_CLOEXEC));
    tree = checked("open_tree", syscall(SYS_open_tree, AT_FDCWD, argv[1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    checked("setns", setns(space, CLONE_NEWNS));
    checked("move_mount", syscall(SYS_move_mount, tree, "", AT_FDCWD, argv[3], MOVE_MOUNT_F_EMPTY_PATH));
    return 0;
}
