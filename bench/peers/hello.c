/*
 * The peer of every FUSE figure: dummyfs's tree on libfuse 3's low-level interface, which names nodes by their numbers as our own session
 * does, with libfuse's own defaults: its multithreaded loop, and FLUSH, for which there is no handler, answered once with ENOSYS.
 *
 *     hello [-f] [-s] [-d] [-o opt,...] [--entry-timeout=S] [--attr-timeout=S] [--keep-cache] [--size=N] [--names=N] MOUNTPOINT
 *
 * --size: bytes of the file; those beyond dummyfs's are zeros. --names: so many more files, file-0 and on, each like the first; no listing has them.
 *
 * In the background the command returns once mount(2) has returned, as libfuse does. Ends at SIGTERM, SIGINT, SIGHUP, or when it is
 * unmounted. Exit status: 0, or 1 and a line that says why.
 */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char NAME[] = "dummy-file.txt";
/* The file's, and the zeros behind it of which a longer one consists. */
static const char CONTENT[1 << 20] = "Hello world!\n";
enum { FILE_NODE = 2, CONTENT_SIZE = 13 };
/* Of file-0. */
enum { FIRST_NAMED = 3 };

/* Seconds; the defaults are dummy-fuse's. */
static struct {
	double entry_timeout;
	double attr_timeout;
	int keep_cache;
	unsigned long size;
	unsigned long names;
} settings = { .size = CONTENT_SIZE };

static const struct fuse_opt OPTIONS[] = {
	{ "--entry-timeout=%lf", offsetof(__typeof__(settings), entry_timeout), 0 },
	{ "--attr-timeout=%lf", offsetof(__typeof__(settings), attr_timeout), 0 },
	{ "--keep-cache", offsetof(__typeof__(settings), keep_cache), 1 },
	{ "--size=%lu", offsetof(__typeof__(settings), size), 0 },
	{ "--names=%lu", offsetof(__typeof__(settings), names), 0 },
	FUSE_OPT_END,
};

static int is_file(fuse_ino_t node)
{
	return node == FILE_NODE || (node >= FIRST_NAMED && node - FIRST_NAMED < settings.names);
}

/* The node of a name in the root; 0 for none. */
static fuse_ino_t named(const char *name)
{
	unsigned long number;
	char rest;

	if (strcmp(name, NAME) == 0)
		return FILE_NODE;
	if (sscanf(name, "file-%lu%c", &number, &rest) != 1 || number >= settings.names)
		return 0;
	return FIRST_NAMED + number;
}

/* 0, or -1 for a node that never was. */
static int attributes(fuse_ino_t node, struct stat *to)
{
	memset(to, 0, sizeof *to);
	to->st_ino = node;
	if (node == FUSE_ROOT_ID) {
		to->st_mode = S_IFDIR | 0755;
		to->st_nlink = 2;
		return 0;
	}
	if (!is_file(node))
		return -1;
	to->st_mode = S_IFREG | 0444;
	to->st_nlink = 1;
	to->st_size = (off_t)settings.size;
	return 0;
}

static void hello_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = parent == FUSE_ROOT_ID ? named(name) : 0 };

	if (entry.ino == 0) {
		fuse_reply_err(request, ENOENT);
		return;
	}
	entry.entry_timeout = settings.entry_timeout;
	entry.attr_timeout = settings.attr_timeout;
	attributes(entry.ino, &entry.attr);
	fuse_reply_entry(request, &entry);
}

static void hello_getattr(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info)
{
	struct stat found;

	(void)info;
	if (attributes(node, &found) != 0)
		fuse_reply_err(request, ESTALE);
	else
		fuse_reply_attr(request, &found, settings.attr_timeout);
}

static void hello_readdir(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *info)
{
	static const struct {
		const char *name;
		fuse_ino_t node;
	} entries[] = { { ".", FUSE_ROOT_ID }, { "..", FUSE_ROOT_ID }, { NAME, FILE_NODE } };
	char buffer[512];
	size_t used = 0;

	(void)info;
	if (node != FUSE_ROOT_ID) {
		fuse_reply_err(request, ENOTDIR);
		return;
	}
	for (size_t i = (size_t)offset; i < sizeof entries / sizeof *entries; i++) {
		struct stat found;
		size_t room = (size < sizeof buffer ? size : sizeof buffer) - used;
		size_t wanted;

		attributes(entries[i].node, &found);
		wanted = fuse_add_direntry(request, buffer + used, room, entries[i].name, &found, (off_t)i + 1);
		if (wanted > room)
			break;
		used += wanted;
	}
	fuse_reply_buf(request, buffer, used);
}

static void hello_open(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *info)
{
	if (!is_file(node)) {
		fuse_reply_err(request, EISDIR);
	} else if ((info->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(request, EROFS);
	} else {
		info->keep_cache = settings.keep_cache;
		fuse_reply_open(request, info);
	}
}

static void hello_read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset, struct fuse_file_info *info)
{
	size_t left = (size_t)offset < settings.size ? settings.size - (size_t)offset : 0;
	size_t from = offset < CONTENT_SIZE ? (size_t)offset : CONTENT_SIZE;
	size_t most = sizeof CONTENT - from < left ? sizeof CONTENT - from : left;

	(void)node;
	(void)info;
	fuse_reply_buf(request, CONTENT + from, size < most ? size : most);
}

static const struct fuse_lowlevel_ops OPERATIONS = {
	.lookup = hello_lookup,
	.getattr = hello_getattr,
	.readdir = hello_readdir,
	.open = hello_open,
	.read = hello_read,
};

static int serve(struct fuse_session *session, const struct fuse_cmdline_opts *words)
{
	struct fuse_loop_config *config;
	int status;

	/* Before any thread is there: fork(2) takes along only the one that calls it. */
	if (fuse_daemonize(words->foreground) != 0)
		return -1;
	if (words->singlethread)
		return fuse_session_loop(session);
	config = fuse_loop_cfg_create();
	if (config == NULL)
		return -1;
	fuse_loop_cfg_set_clone_fd(config, (unsigned)words->clone_fd);
	fuse_loop_cfg_set_max_threads(config, words->max_threads);
	status = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return status;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts words;
	struct fuse_session *session;
	int status = 1;

	if (fuse_opt_parse(&args, &settings, OPTIONS, NULL) != 0 || fuse_parse_cmdline(&args, &words) != 0)
		return 1;
	if (words.mountpoint == NULL) {
		fprintf(stderr, "usage: %s [-f] [-s] [-d] [-o opt,...] [--entry-timeout=S] [--attr-timeout=S] [--keep-cache] [--size=N] [--names=N] MOUNTPOINT\n", argv[0]);
		return 1;
	}
	session = fuse_session_new(&args, &OPERATIONS, sizeof OPERATIONS, NULL);
	if (session != NULL) {
		if (fuse_set_signal_handlers(session) == 0) {
			if (fuse_session_mount(session, words.mountpoint) == 0) {
				status = serve(session, &words) == 0 ? 0 : 1;
				fuse_session_unmount(session);
			}
			fuse_remove_signal_handlers(session);
		}
		fuse_session_destroy(session);
	}
	free(words.mountpoint);
	fuse_opt_free_args(&args);
	return status;
}
