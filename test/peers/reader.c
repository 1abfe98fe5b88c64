/*
 * A consumer that misses nothing: reads one file over and over, so that every round asks the daemon, checks every byte, and counts.
 *
 *     reader --file PATH --mode held|reopen|mmap|cwd [--interval-us N] [--stall-log MS] [--events FILE] [--content TEXT] [--rounds N]
 *
 * held    keeps one descriptor open and preads, its cached pages dropped before
 * reopen  opens anew each round
 * mmap    keeps one memory map; after MADV_DONTNEED and then POSIX_FADV_DONTNEED, touching it is a page fault that asks the daemon
 * cwd     changes into the file's directory and opens the file by its name alone each round
 *
 * What cannot be opened, mapped or entered yet is tried again each round, and counted as a failure of that round.
 *
 * Standard error gets the word `started` once signals are taken, and `reading` after the first round that was right. SIGUSR1 prints a line of JSON about the rounds so far on
 * standard output; SIGTERM and SIGINT print the last one and end it, also while a read hangs; so does the end of --rounds. Times are
 * nanoseconds of CLOCK_MONOTONIC:
 *
 *     {"mode":"held","rounds":9,"right":7,"wrong":0,"failed":{"ENOTCONN":2},"longestStall":{"ns":81234,"atNs":123},
 *      "longestGap":{"ns":91234,"atNs":120},"firstRightNs":…,"lastRightNs":…,"firstBadNs":…,"lastBadNs":…,"startedNs":…,"endedNs":…,
 *      "pendingNs":0,"final":true}
 *
 * A stall is how long one round took; a gap, how long it took from the end of a right round (or from the start) to the end of the next, the
 * interval included. `atNs` is when it began; a round that is still going on (`pendingNs`) counts in both. Times that never came are null.
 *
 * --events has one line for each round that was bad, and for each stall of --stall-log milliseconds (10) or more, with the call that failed:
 *
 *     {"event":"failed","errno":"ENOTCONN","call":"pread","round":5,"atNs":…}
 *     {"event":"wrong","hex":"48656c","call":"pread","round":6,"atNs":…}
 *     {"event":"stall","ns":81234,"round":7,"atNs":…}
 *
 * Exit status: 0, whatever was read; 1 what was to be set up failed; 2 wrong words.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The map's size; longer content is refused. */
enum { SPACE = 4096, MOST_ERRORS = 200, SIGBUS_ERROR = MOST_ERRORS - 1 };

struct span {
	uint64_t ns, at;
};

/* How one round came out: `error` is 0, an errno or SIGBUS_ERROR; `bytes` and `length` are what was read. */
struct outcome {
	int error;
	const char *call;
	ssize_t length;
	char bytes[SPACE + 1];
};

static struct {
	const char *file, *mode, *content;
	size_t size;
	uint64_t interval_ns, stall_ns, rounds;
	FILE *events;
} settings = { .content = "Hello world!\n", .interval_ns = 1000000, .stall_ns = 10000000 };

/* What the summary is made of; round_began is 0 between rounds. */
static struct {
	uint64_t started, rounds, right, wrong, failed[MOST_ERRORS];
	struct span stall, gap;
	uint64_t first_right, last_right, first_bad, last_bad, round_began;
} counts;
static pthread_mutex_t counts_lock = PTHREAD_MUTEX_INITIALIZER;

/* Once set, the reader's thread begins no more rounds. */
static atomic_bool stopping;

static sigjmp_buf fault;
static volatile sig_atomic_t faults_are_ours;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void failed(struct outcome *outcome, const char *call, int error)
{
	outcome->call = call;
	outcome->error = error;
}

static void drop_pages(struct outcome *outcome, int fd)
{
	int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);

	if (error != 0)
		failed(outcome, "posix_fadvise", error);
}

static void read_whole(struct outcome *outcome, int fd)
{
	drop_pages(outcome, fd);
	if (outcome->error != 0)
		return;
	outcome->call = "pread";
	outcome->length = pread(fd, outcome->bytes, sizeof outcome->bytes, 0);
	if (outcome->length < 0)
		failed(outcome, "pread", errno);
}

static void round_reopen(struct outcome *outcome, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		failed(outcome, "open", errno);
		return;
	}
	read_whole(outcome, fd);
	/* Closed in any case (close(2)); FLUSH may report an error. */
	if (close(fd) != 0 && outcome->error == 0)
		failed(outcome, "close", errno);
}

static void round_held(struct outcome *outcome)
{
	static int fd = -1;

	if (fd < 0)
		fd = open(settings.file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		failed(outcome, "open", errno);
	else
		read_whole(outcome, fd);
}

static void round_cwd(struct outcome *outcome)
{
	static bool there;
	static char folder[SPACE], name[SPACE];

	if (!there) {
		snprintf(folder, sizeof folder, "%s", settings.file);
		snprintf(name, sizeof name, "%s", settings.file);
		if (chdir(dirname(folder)) != 0) {
			failed(outcome, "chdir", errno);
			return;
		}
		there = true;
	}
	round_reopen(outcome, basename(name));
}

static void on_fault(int number)
{
	if (faults_are_ours)
		siglongjmp(fault, 1);
	signal(number, SIG_DFL);
	raise(number);
}

static void touch_map(struct outcome *outcome, const volatile char *map)
{
	outcome->call = "page fault";
	if (sigsetjmp(fault, 1) == 0) {
		faults_are_ours = 1;
		for (size_t i = 0; i < SPACE; i++)
			outcome->bytes[i] = map[i];
	} else {
		outcome->error = SIGBUS_ERROR;
	}
	faults_are_ours = 0;
}

static void round_mmap(struct outcome *outcome)
{
	static int fd = -1;
	static char *map;

	if (fd < 0)
		fd = open(settings.file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		failed(outcome, "open", errno);
		return;
	}
	if (map == NULL) {
		void *mapped = mmap(NULL, SPACE, PROT_READ, MAP_SHARED, fd, 0);

		if (mapped == MAP_FAILED) {
			failed(outcome, "mmap", errno);
			return;
		}
		map = mapped;
	}
	touch_map(outcome, map);
	/*
	 * The map first: a page that is mapped cannot be dropped. Right after the round, so that no sleeping reader's map keeps others from
	 * dropping the page.
	 */
	if (madvise(map, SPACE, MADV_DONTNEED) != 0 && outcome->error == 0)
		failed(outcome, "madvise", errno);
	if (outcome->error == 0)
		drop_pages(outcome, fd);
	/* The kernel fills a page's rest with zeros, which are no part of the file. */
	outcome->length = SPACE;
	while (outcome->length > (ssize_t)settings.size && outcome->bytes[outcome->length - 1] == '\0')
		outcome->length--;
}

static bool is_right(const struct outcome *outcome)
{
	return outcome->length == (ssize_t)settings.size && memcmp(outcome->bytes, settings.content, settings.size) == 0;
}

static const char *error_name(int error)
{
	const char *name = error == SIGBUS_ERROR ? "SIGBUS" : strerrorname_np(error);

	return name != NULL ? name : "unknown";
}

static void keep_longest(struct span *longest, uint64_t from, uint64_t to)
{
	if (to - from > longest->ns)
		*longest = (struct span){ .ns = to - from, .at = from };
}

static void write_event(const struct outcome *outcome, uint64_t number, uint64_t began, uint64_t ended)
{
	unsigned long long round = number, at = began;

	if (settings.events == NULL)
		return;
	if (outcome->error != 0) {
		fprintf(settings.events, "{\"event\":\"failed\",\"errno\":\"%s\",\"call\":\"%s\",\"round\":%llu,\"atNs\":%llu}\n",
			error_name(outcome->error), outcome->call, round, at);
	} else if (!is_right(outcome)) {
		fprintf(settings.events, "{\"event\":\"wrong\",\"hex\":\"");
		for (ssize_t i = 0; i < outcome->length; i++)
			fprintf(settings.events, "%02x", (unsigned char)outcome->bytes[i]);
		fprintf(settings.events, "\",\"call\":\"%s\",\"round\":%llu,\"atNs\":%llu}\n", outcome->call, round, at);
	}
	if (ended - began >= settings.stall_ns)
		fprintf(settings.events, "{\"event\":\"stall\",\"ns\":%llu,\"round\":%llu,\"atNs\":%llu}\n",
			(unsigned long long)(ended - began), round, at);
	fflush(settings.events);
}

/* Returns whether this is the first round that was right. */
static bool count(const struct outcome *outcome, uint64_t began, uint64_t ended)
{
	bool first = false;

	pthread_mutex_lock(&counts_lock);
	counts.round_began = 0;
	counts.rounds++;
	keep_longest(&counts.stall, began, ended);
	if (outcome->error == 0 && is_right(outcome)) {
		first = counts.right++ == 0;
		keep_longest(&counts.gap, first ? counts.started : counts.last_right, ended);
		if (first)
			counts.first_right = ended;
		counts.last_right = ended;
	} else {
		if (outcome->error != 0)
			counts.failed[outcome->error > 0 && outcome->error < MOST_ERRORS ? outcome->error : 0]++;
		else
			counts.wrong++;
		if (counts.first_bad == 0)
			counts.first_bad = ended;
		counts.last_bad = ended;
	}
	pthread_mutex_unlock(&counts_lock);
	return first;
}

static void print_time(const char *name, uint64_t ns)
{
	if (ns == 0)
		printf("\"%s\":null,", name);
	else
		printf("\"%s\":%llu,", name, (unsigned long long)ns);
}

static void print_span(const char *name, struct span span)
{
	printf("\"%s\":{\"ns\":%llu,\"atNs\":%llu},", name, (unsigned long long)span.ns, (unsigned long long)span.at);
}

static void print_summary(bool final)
{
	uint64_t ended = now(), pending = 0;
	struct span stall, gap;
	const char *comma = "";

	pthread_mutex_lock(&counts_lock);
	stall = counts.stall;
	gap = counts.gap;
	if (counts.round_began != 0) {
		pending = ended - counts.round_began;
		keep_longest(&stall, counts.round_began, ended);
	}
	keep_longest(&gap, counts.right > 0 ? counts.last_right : counts.started, ended);
	printf("{\"mode\":\"%s\",\"rounds\":%llu,\"right\":%llu,\"wrong\":%llu,\"failed\":{", settings.mode,
	       (unsigned long long)counts.rounds, (unsigned long long)counts.right, (unsigned long long)counts.wrong);
	for (int error = 0; error < MOST_ERRORS; error++) {
		if (counts.failed[error] == 0)
			continue;
		printf("%s\"%s\":%llu", comma, error_name(error), (unsigned long long)counts.failed[error]);
		comma = ",";
	}
	printf("},");
	print_span("longestStall", stall);
	print_span("longestGap", gap);
	print_time("firstRightNs", counts.first_right);
	print_time("lastRightNs", counts.last_right);
	print_time("firstBadNs", counts.first_bad);
	print_time("lastBadNs", counts.last_bad);
	print_time("startedNs", counts.started);
	print_time("endedNs", ended);
	printf("\"pendingNs\":%llu,\"final\":%s}\n", (unsigned long long)pending, final ? "true" : "false");
	fflush(stdout);
	pthread_mutex_unlock(&counts_lock);
}

/* The reader's own thread takes no signals: one that arrives in the middle of a request would send an INTERRUPT to the daemon. */
static void *read_on(void *unused)
{
	static struct outcome outcome;

	for (uint64_t number = 1; settings.rounds == 0 || number <= settings.rounds; number++) {
		uint64_t began = now(), ended;

		pthread_mutex_lock(&counts_lock);
		if (!stopping)
			counts.round_began = began;
		pthread_mutex_unlock(&counts_lock);
		if (stopping)
			return unused;
		outcome = (struct outcome){ 0 };
		switch (settings.mode[0]) {
		case 'h': round_held(&outcome); break;
		case 'r': round_reopen(&outcome, settings.file); break;
		case 'm': round_mmap(&outcome); break;
		default: round_cwd(&outcome);
		}
		ended = now();
		/* Before it counts: the process ends as soon as the last round has been counted. */
		write_event(&outcome, number, began, ended);
		if (count(&outcome, began, ended))
			fprintf(stderr, "reading\n");
		if (settings.interval_ns > 0) {
			struct timespec pause = { (time_t)(settings.interval_ns / 1000000000u), (long)(settings.interval_ns % 1000000000u) };

			nanosleep(&pause, NULL);
		}
	}
	kill(getpid(), SIGTERM);
	return unused;
}

static uint64_t number(const char *word)
{
	char *end;
	unsigned long long value = strtoull(word, &end, 10);

	if (*word < '0' || *word > '9' || *end != '\0') {
		fprintf(stderr, "'%s' is no number\n", word);
		exit(2);
	}
	return value;
}

static void usage(const char *name)
{
	fprintf(stderr,
		"usage: %s --file PATH --mode held|reopen|mmap|cwd [--interval-us N] [--stall-log MS] [--events FILE] [--content TEXT] "
		"[--rounds N]\n",
		name);
	exit(2);
}

static bool is_mode(const char *word)
{
	return word != NULL && (strcmp(word, "held") == 0 || strcmp(word, "reopen") == 0 || strcmp(word, "mmap") == 0 || strcmp(word, "cwd") == 0);
}

static void parse(int argc, char **argv)
{
	static const struct option WORDS[] = {
		{ "file", required_argument, NULL, 'f' },	 { "mode", required_argument, NULL, 'm' },
		{ "interval-us", required_argument, NULL, 'i' }, { "stall-log", required_argument, NULL, 's' },
		{ "events", required_argument, NULL, 'e' },	 { "content", required_argument, NULL, 'c' },
		{ "rounds", required_argument, NULL, 'n' },	 { 0 },
	};
	int word;

	while ((word = getopt_long(argc, argv, "", WORDS, NULL)) != -1) {
		switch (word) {
		case 'f': settings.file = optarg; break;
		case 'm': settings.mode = optarg; break;
		case 'i': settings.interval_ns = number(optarg) * 1000u; break;
		case 's': settings.stall_ns = number(optarg) * 1000000u; break;
		case 'c': settings.content = optarg; break;
		case 'n': settings.rounds = number(optarg); break;
		case 'e':
			settings.events = fopen(optarg, "ae");
			if (settings.events == NULL) {
				fprintf(stderr, "%s: %s\n", optarg, strerror(errno));
				exit(1);
			}
			break;
		default: usage(argv[0]);
		}
	}
	settings.size = strlen(settings.content);
	if (settings.file == NULL || !is_mode(settings.mode) || optind != argc || settings.size == 0 || settings.size >= SPACE)
		usage(argv[0]);
}

/* Gives the round that is going on a second to end; no other begins. */
static void await_round(void)
{
	struct timespec pause = { 0, 1000000 };

	stopping = true;
	for (int i = 0; i < 1000; i++) {
		bool idle;

		pthread_mutex_lock(&counts_lock);
		idle = counts.round_began == 0;
		pthread_mutex_unlock(&counts_lock);
		if (idle)
			return;
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	struct sigaction on_sigbus = { .sa_handler = on_fault };
	pthread_t thread;
	sigset_t ours;
	int got;

	parse(argc, argv);
	counts.started = now();
	sigaction(SIGBUS, &on_sigbus, NULL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &ours, NULL);
	fprintf(stderr, "started\n");
	errno = pthread_create(&thread, NULL, read_on, NULL);
	if (errno != 0) {
		fprintf(stderr, "pthread_create: %s\n", strerror(errno));
		return 1;
	}
	while (sigwait(&ours, &got) == 0 && got == SIGUSR1)
		print_summary(false);
	await_round();
	print_summary(true);
	/* Not through exit(3), which would wait for a lock of the other thread's. */
	_exit(0);
}
