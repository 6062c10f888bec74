/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c -- farbus-run: starts the ranks of a farbus job on this host
 */
#include "apps/farbus-run/job.h"
#include "apps/farbus-run/rundir.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void complain(void)
{
	dprintf(2, "farbus-run: %s\n", error_text());
}

/* Descriptors 0 to 2 are always something, so that no pipe of ours gets their numbers. */
static int standard_ensure(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	if (fd < 0)
		return error_set(-errno, "cannot open /dev/null: %s", strerror(errno));
	close(fd);
	return 0;
}

/* Signals are read in the job's loop. One that our parent made us ignore (nohup) stays so. */
static void signals_take(sigset_t *ret_signals, struct child_origin *ret_origin)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct sigaction preset = { .sa_handler = SIG_DFL };

	sigemptyset(ret_signals);
	sigaddset(ret_signals, SIGCHLD);
	sigaddset(ret_signals, SIGCONT);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct sigaction now;

		if (sigaction(ends[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(ret_signals, ends[i]);
	}
	/* Ignored, it would make the kernel reap ranks before we know how they ended. */
	sigaction(SIGCHLD, &preset, NULL);
	sigprocmask(SIG_BLOCK, ret_signals, &ret_origin->mask);
	sigaction(SIGPIPE, &ignore, &ret_origin->pipe);
	sigaction(SIGTTIN, &ignore, &ret_origin->ttin);
	sigaction(SIGTTOU, &ignore, &ret_origin->ttou);
}

/* A rank takes up to four descriptors here; ranks themselves get the limit we found. */
static void files_raise(struct child_origin *ret_origin)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &ret_origin->files);
	limit = ret_origin->files;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void bindings_report(const struct bind *bind)
{
	for (uint32_t i = 0; i < bind->size; i++)
		dprintf(2, "farbus-run: rank %u: %s\n", i, bind->place[i].text);
}

/* As a shell would take it. */
static void word_print(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_@%+=:,./-";

	if (*word && !word[strspn(word, plain)]) {
		fputs(word, stdout);
		return;
	}
	putchar('\'');
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\'", stdout);
		putchar(*word);
	}
	putchar('\'');
}

static void dry_run_print(const struct options *options, const struct bind *bind)
{
	for (size_t i = 0; i < options->export_count; i++) {
		fputs("set ", stdout);
		word_print(options->export[i]);
		putchar('\n');
	}
	for (uint32_t i = 0; i < options->size; i++) {
		printf("rank %u: %s: PMI_RANK=%u PMI_SIZE=%u", i, bind->place[i].text, i,
		       options->size);
		for (char **word = options->command; *word; word++) {
			putchar(' ');
			word_print(*word);
		}
		putchar('\n');
	}
}

/* With a directory and a guard that removes it whatever happens to us. */
static int run_in(struct job_conf *conf, const char *run_dir)
{
	const struct options *options = conf->options;
	int code = RUN_EXIT_LAUNCHER;

	if (guard_open(options->keep ? NULL : run_dir, &conf->guard) < 0) {
		complain();
		return code;
	}
	if (environment_new(options, run_dir, &conf->environment) < 0) {
		complain();
	} else {
		code = job_run(conf);
		environment_free(conf->environment);
	}
	guard_close(conf->guard);
	return code;
}

static int run(struct job_conf *conf)
{
	const struct options *options = conf->options;
	char run_dir[RUNDIR_PATH_MAX];
	int code, err;

	if (rundir_create(options->run_dir, run_dir) < 0) {
		complain();
		return RUN_EXIT_LAUNCHER;
	}
	code = run_in(conf, run_dir);
	if (options->keep) {
		dprintf(2, "farbus-run: kept %s\n", run_dir);
		return code;
	}
	err = rundir_remove(run_dir);
	if (err < 0)
		dprintf(2, "farbus-run: cannot remove %s: %s\n", run_dir, strerror(-err));
	return code;
}

/* What was printed has to arrive, else the exit code says so. */
static int printed_check(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	dprintf(2, "farbus-run: cannot write to stdout: %s\n", strerror(errno));
	return RUN_EXIT_LAUNCHER;
}

int main(int argc, char **argv)
{
	struct child_origin origin;
	struct options options;
	struct bind *bind;
	sigset_t signals;
	int code = 0, err = standard_ensure();

	if (err == 0)
		err = options_parse(argc, argv, &options);
	if (err > 0)
		return printed_check(0);
	if (err == 0)
		err = bind_new(options.bind, options.size, &bind);
	if (err < 0) {
		complain();
		return RUN_EXIT_LAUNCHER;
	}
	if (options.report_bindings)
		bindings_report(bind);
	if (options.dry_run) {
		dry_run_print(&options, bind);
	} else {
		struct job_conf conf = {
			.options = &options, .bind = bind, .origin = &origin, .signals = &signals
		};

		files_raise(&origin);
		signals_take(&signals, &origin);
		code = run(&conf);
	}
	bind_free(bind);
	return printed_check(code);
}
