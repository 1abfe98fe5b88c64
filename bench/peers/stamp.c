/*
 * Tells to the nanosecond when a program was killed and when its successor was there.
 *
 *     stamp FILE             appends `exec NS`, and stays until it is killed
 *     stamp --kill PID FILE  appends `kill NS` and kills that process with SIGKILL
 *
 * NS is CLOCK_MONOTONIC, which is the same in every container of a machine. Exit status 1 and a line that says why, if it cannot.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int append(const char *file, const char *what)
{
	struct timespec time;
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	clock_gettime(CLOCK_MONOTONIC, &time);
	if (fd < 0 || dprintf(fd, "%s %lld\n", what, (long long)time.tv_sec * 1000000000 + time.tv_nsec) < 0) {
		fprintf(stderr, "%s: %s\n", file, strerror(errno));
		return -1;
	}
	return close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--kill") == 0) {
		pid_t victim = (pid_t)atol(argv[2]);

		/* 0 and below would be groups of processes. */
		if (victim < 2) {
			fprintf(stderr, "'%s' is no process that may be killed\n", argv[2]);
			return 1;
		}
		if (append(argv[3], "kill") != 0)
			return 1;
		if (kill(victim, SIGKILL) == 0)
			return 0;
		fprintf(stderr, "kill %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: %s [--kill PID] FILE\n", argv[0]);
		return 2;
	}
	if (append(argv[1], "exec") != 0)
		return 1;
	for (;;)
		pause();
}
