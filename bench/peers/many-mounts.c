/*
 * Holds a mount namespace with many mounts in it.
 *
 *     many-mounts COUNT FOLDER
 *
 * Makes COUNT bind mounts below a tmpfs at FOLDER, in a mount namespace of its own that nothing propagates to or from, prints `ready`, and
 * stays until it is killed. Exit status 1 and a line that says why, if it cannot.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[1]) : 0;
	char path[32];

	if (count < 1) {
		fprintf(stderr, "usage: %s COUNT FOLDER\n", argv[0]);
		return 2;
	}
	must(unshare(CLONE_NEWNS), "unshare");
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount --make-rprivate /");
	must(mount("many-mounts", argv[2], "tmpfs", 0, NULL), argv[2]);
	must(chdir(argv[2]), argv[2]);
	must(mkdir("source", 0755), "mkdir source");
	for (long i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%ld", i);
		must(mkdir(path, 0755), path);
		must(mount("source", path, NULL, MS_BIND, NULL), path);
	}
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
