/*
 * Times round trips to a FUSE daemon from C, so that what is measured is not the client.
 *
 *     reader --mode lookup|absent|read|block|whole [--block N] [--readers N] [--rounds N] [--warm-up N] FILE...
 *     reader --mode ... --in-process [--rounds N] [--warm-up N] FILE...
 *
 * lookup  statx(2) that does not ask for fresh attributes: one LOOKUP where entries are not cached (entry_timeout=0)
 * absent  the same of names that do not exist, FILE with a number behind it, another one each time: one LOOKUP, which fails with ENOENT
 * read    open, drop the cached pages, read the whole file, close: LOOKUP, OPEN, GETATTR where attributes are not cached either, READ; the
 *         RELEASE follows without anybody waiting for it. O_DIRECT, because of several readers one would be served by another's page
 * block   one READ of --block bytes (4096) of a file that is held open, from one place after another, with O_DIRECT
 * whole   open, drop the cached pages, read the whole file in its order, close
 *
 * Each reader is a process and takes the files in turn, each from another one on. All begin at the same moment, after their warm-up. With
 * --in-process the one reader is this process itself: the scheduler places a new child elsewhere than a process that has run for a while. Prints one line of JSON, times in nanoseconds over the rounds of all readers: {"mode","readers","count","p50","p99","max"}. Exit status: 0; 1 and
 * a line that says why for a system call that failed or a byte that was wrong; 2 wrong words.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const char CONTENT[] = "Hello world!\n";
enum { CONTENT_SIZE = sizeof CONTENT - 1, MOST_READERS = 256 };

typedef void act(const char *path, uint32_t turn);

static void fail(const char *call, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", call, path, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void lookup(const char *path, uint32_t turn)
{
	struct statx found;

	(void)turn;
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found) != 0)
		fail("statx", path);
	if (found.stx_size != CONTENT_SIZE) {
		fprintf(stderr, "statx %s: %llu bytes\n", path, (unsigned long long)found.stx_size);
		exit(1);
	}
}

static void absent(const char *path, uint32_t turn)
{
	struct statx found;
	char name[PATH_MAX];

	snprintf(name, sizeof name, "%s-%u", path, turn);
	if (statx(AT_FDCWD, name, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found) == 0 || errno != ENOENT)
		fail("statx of a name that must be absent", name);
}

/* Opens a file of which no page is cached. */
static int open_uncached(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

	if (fd < 0)
		fail("open", path);
	errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (errno != 0)
		fail("posix_fadvise", path);
	return fd;
}

static void read_anew(const char *path, uint32_t turn)
{
	char bytes[4096];
	ssize_t length;
	int fd = open_uncached(path, O_DIRECT);

	(void)turn;
	length = read(fd, bytes, sizeof bytes);
	if (length < 0)
		fail("read", path);
	if (length != CONTENT_SIZE || memcmp(bytes, CONTENT, CONTENT_SIZE) != 0) {
		fprintf(stderr, "read %s: %zd bytes, or other ones than expected\n", path, length);
		exit(1);
	}
	if (close(fd) != 0)
		fail("close", path);
}

static uint32_t block = 4096;

/* Memory that O_DIRECT takes, of one block. */
static void *block_memory(void)
{
	static void *memory;

	if (memory == NULL && (errno = posix_memalign(&memory, 4096, block)) != 0)
		fail("posix_memalign", "of a block");
	return memory;
}

static void read_block(const char *path, uint32_t turn)
{
	static int fd = -1;
	static off_t blocks;
	struct stat found;

	if (fd < 0) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
		if (fd < 0 || fstat(fd, &found) != 0)
			fail("open", path);
		blocks = found.st_size / block;
	}
	/* Not the first one, which is shorter in hello.c. */
	if (blocks < 2 || pread(fd, block_memory(), block, (off_t)block * (1 + turn % (blocks - 1))) != (ssize_t)block)
		fail("pread of a whole block", path);
}

static void read_whole(const char *path, uint32_t turn)
{
	ssize_t length;
	int fd = open_uncached(path, 0);

	(void)turn;
	while ((length = read(fd, block_memory(), block)) > 0)
		;
	if (length < 0)
		fail("read", path);
	if (close(fd) != 0)
		fail("close", path);
}

static uint32_t number(const char *word)
{
	char *end;
	unsigned long value = strtoul(word, &end, 10);

	if (*word < '0' || *word > '9' || *end != '\0' || value > UINT32_MAX) {
		fprintf(stderr, "'%s' is no number\n", word);
		exit(2);
	}
	return (uint32_t)value;
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap", "of the results");
	return memory;
}

static int by_size(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

struct work {
	act *round;
	char **files;
	size_t count;
	uint32_t rounds, warm_up;
	pthread_barrier_t *start;
};

/* Takes the files in turn, from one on; `own` gets what each round took. */
static void take(const struct work *work, size_t file, uint64_t *own)
{
	uint32_t turn = 0;

	/* Written once before, so that no page fault is counted as the daemon's time. */
	memset(own, 1, work->rounds * sizeof *own);
	for (uint32_t i = 0; i < work->warm_up; i++, file = (file + 1) % work->count)
		work->round(work->files[file], turn++);
	pthread_barrier_wait(work->start);
	for (uint32_t i = 0; i < work->rounds; i++, file = (file + 1) % work->count) {
		uint64_t began = now();

		work->round(work->files[file], turn++);
		own[i] = now() - began;
	}
}

int main(int argc, char **argv)
{
	static const struct option WORDS[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "readers", required_argument, NULL, 'r' },
		{ "rounds", required_argument, NULL, 'n' },
		{ "warm-up", required_argument, NULL, 'w' },
		{ "block", required_argument, NULL, 'b' },
		{ "in-process", no_argument, NULL, 'i' },
		{ 0 },
	};
	const char *mode = "";
	uint32_t readers = 1, rounds = 1000, warm_up = 100;
	pthread_barrierattr_t across;
	pthread_barrier_t *start = shared(sizeof *start);
	uint64_t *times;
	size_t count;
	act *round;
	struct work work;
	int word, status = 0, in_process = 0;

	while ((word = getopt_long(argc, argv, "", WORDS, NULL)) != -1) {
		switch (word) {
		case 'm': mode = optarg; break;
		case 'r': readers = number(optarg); break;
		case 'n': rounds = number(optarg); break;
		case 'w': warm_up = number(optarg); break;
		case 'b': block = number(optarg); break;
		case 'i': in_process = 1; break;
		default: return 2;
		}
	}
	round = strcmp(mode, "lookup") == 0   ? lookup
		: strcmp(mode, "absent") == 0 ? absent
		: strcmp(mode, "read") == 0   ? read_anew
		: strcmp(mode, "block") == 0  ? read_block
		: strcmp(mode, "whole") == 0  ? read_whole
					      : NULL;
	if (round == NULL || optind == argc || readers < 1 || readers > MOST_READERS || rounds < 1 || (in_process && readers > 1)) {
		fprintf(stderr, "usage: %s --mode lookup|absent|read|block|whole [--block N] [--readers N | --in-process] [--rounds N] [--warm-up N] FILE...\n", argv[0]);
		return 2;
	}
	count = (size_t)readers * rounds;
	times = shared(count * sizeof *times);
	pthread_barrierattr_init(&across);
	pthread_barrierattr_setpshared(&across, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(start, &across, readers);
	work = (struct work){ round, argv + optind, (size_t)(argc - optind), rounds, warm_up, start };

	if (in_process)
		take(&work, 0, times);
	for (uint32_t reader = 0; reader < readers && !in_process; reader++) {
		pid_t child = fork();

		if (child < 0)
			fail("fork", argv[0]);
		if (child > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		take(&work, reader % work.count, times + (size_t)reader * rounds);
		exit(0);
	}
	/* One that failed would leave the others at the barrier: they end with this process. */
	for (uint32_t reader = 0; reader < readers && !in_process; reader++) {
		if (wait(&status) < 0 || status != 0)
			return 1;
	}
	qsort(times, count, sizeof *times, by_size);
	printf("{\"mode\":\"%s\",\"readers\":%u,\"count\":%zu,\"p50\":%llu,\"p99\":%llu,\"max\":%llu}\n", mode, readers, count,
	       (unsigned long long)times[count / 2], (unsigned long long)times[count - count / 100 - 1],
	       (unsigned long long)times[count - 1]);
	return 0;
}
