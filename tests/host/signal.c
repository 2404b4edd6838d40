/* The host's own handlers: between calls, during calls, and for faults of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

static sigjmp_buf back;
static _Atomic int segv, urg, alarms, stack_bad;
static char *guard_page;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	atomic_fetch_add(&segv, info->si_addr == guard_page);
	siglongjmp(back, 1);
}

static void on_urg(int sig)
{
	(void)sig;
	atomic_fetch_add(&urg, 1);
}

static void fault_once(void)
{
	if (!sigsetjmp(back, 1))
		*(volatile char *)guard_page = 1;
}

static void own_handlers(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };
	struct rootfs_request request;

	need_root();
	small_request(&request);
	own_mounts();
	guard_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &sa, NULL);
	sa.sa_flags = 0;
	sa.sa_handler = on_urg;
	sigaction(SIGURG, &sa, NULL);
	fault_once();
	WORKS(rootfs_start(&error));
	fault_once();
	raise(SIGURG);
	WORKS(rootfs_prepare(&request, &error));
	fault_once();
	raise(SIGURG);
	WORKS(rootfs_finalize(&error));
	fault_once();
	kill(getpid(), SIGURG);
	CHECK(atomic_load(&segv) == 4, "%d of 4 faults reached the handler", atomic_load(&segv));
	CHECK(atomic_load(&urg) == 3, "%d of 3 SIGURG reached the handler: the runtime sends none itself", atomic_load(&urg));
}

/* A fault of the host's own, outside of a call and without a handler, kills it as it always did, with the right signal. */
static void crash(void)
{
	WORKS(rootfs_start(&error));
	usleep(20000);
	*(volatile char *)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

static void own_crash(void)
{
	int status = in_child(crash, 10);

	CHECK(status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x", (unsigned)status);
}

static void on_alarm(int sig)
{
	volatile char here[24576]; /* more than a goroutine's stack begins with: where none has room for handlers, this writes past it */

	(void)sig;
	memset((char *)here, 0x5a, sizeof here);
	atomic_fetch_add(&alarms, 1);
	for (size_t i = 0; i < sizeof here; i += 64)
		if (here[i] != 0x5a)
			atomic_fetch_add(&stack_bad, 1);
}

/* Handlers without SA_ONSTACK, many times during calls, in some of which garbage is collected. */
static void handlers_during_calls(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, off = { { 0, 0 }, { 0, 0 } };
	struct rootfs_request request, wrong;

	need_root();
	small_request(&request);
	long_request(&wrong);
	own_mounts();
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 40 || (atomic_load(&alarms) <= 50 && i < 4000); i++)
		REFUSED(rootfs_prepare(&wrong, &error), ROOTFS_ERR_INVALID, "/linux/maskedPaths/0");
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	setitimer(ITIMER_REAL, &off, NULL);
	CHECK(atomic_load(&alarms) > 20 && !atomic_load(&stack_bad), "%d alarms, %d bad", atomic_load(&alarms), atomic_load(&stack_bad));
	sigaction(SIGALRM, NULL, &sa);
	CHECK(!(sa.sa_flags & SA_ONSTACK), "the handler's flags are %x", (unsigned)sa.sa_flags);
}

/* A program that a call runs has the host's mask and dispositions, not the engine's; and while the call waits for it, the
 * host's handlers run, those of real-time signals too. */
static void during_hook(void)
{
	static char config[8192];
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerspec often = { { 0, 2000000 }, { 0, 2000000 } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3 };
	struct rootfs_request request;
	char path[4096], line[256], blocked[64] = "", ignored[64] = "";
	unsigned long expected;
	sigset_t mask;
	timer_t timer;
	FILE *f;
	int n, here;

	need_root();
	small_request(&request);
	own_mounts();
	snprintf(path, sizeof path, "%s/data/hook-status", scratch); /* /data in the container */
	n = snprintf(config, sizeof config, "%.*s", (int)(strrchr(request.config, '}') - request.config), request.config);
	snprintf(config + n, sizeof config - (size_t)n, ", \"hooks\": { \"createContainer\": ["
		 "{ \"path\": \"/bin/cp\", \"args\": [\"cp\", \"/proc/self/status\", \"%s\"] }," /* not a shell: it clears its mask */
		 "{ \"path\": \"/bin/sleep\", \"args\": [\"sleep\", \"0.3\"] } ] } }", path);
	request.config = config;
	request.config_len = strlen(config);
	sigaction(SIGRTMIN + 3, &sa, NULL);
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGRTMIN + 7);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	CHECK(!timer_create(CLOCK_MONOTONIC, &event, &timer) && !timer_settime(timer, 0, &often, NULL), "timer");
	WORKS(rootfs_prepare(&request, &error));
	here = atomic_load(&alarms);
	timer_delete(timer);
	CHECK(here > 20 && !atomic_load(&stack_bad), "%d signals in 300 ms, %d on a bad stack", here, atomic_load(&stack_bad));
	sigaction(SIGRTMIN + 3, NULL, &sa);
	CHECK(!(sa.sa_flags & SA_ONSTACK), "the handler's flags are %x", (unsigned)sa.sa_flags);
	WORKS(rootfs_finalize(&error));
	f = fopen("/data/hook-status", "re");
	CHECK(f, "the hook did not run: %s", strerror(errno));
	while (fgets(line, sizeof line, f)) {
		sscanf(line, "SigBlk: %63s", blocked);
		sscanf(line, "SigIgn: %63s", ignored);
	}
	fclose(f);
	expected = 1UL << (SIGUSR2 - 1) | 1UL << (SIGRTMIN + 7 - 1);
	CHECK(strtoul(blocked, NULL, 16) == expected, "the hook's mask is %s, the host's %lx", blocked, expected);
	CHECK(strtoul(ignored, NULL, 16) & 1UL << (SIGUSR1 - 1), "the hook ignores %s", ignored);
}

/* A handler that is installed while another thread is in a call is not undone by that call's return. */
static void *install_handlers(void *stop)
{
	struct sigaction sa = { .sa_handler = on_urg };

	while (!atomic_load((_Atomic int *)stop)) {
		sigaction(SIGPIPE, &sa, NULL);
		usleep(300);
	}
	return NULL;
}

static void handler_installed_meanwhile(void)
{
	static _Atomic int stop;
	struct rootfs_request request;
	struct sigaction sa;
	pthread_t thread;

	need_root();
	long_request(&request);
	WORKS(rootfs_start(&error));
	pthread_create(&thread, NULL, install_handlers, &stop);
	for (int i = 0; i < 100; i++)
		REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_INVALID, "/linux/maskedPaths/0");
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_INVALID, "/linux/maskedPaths/0");
	sigaction(SIGPIPE, NULL, &sa);
	CHECK(sa.sa_handler == on_urg, "SIGPIPE's handler is lost");
}

static _Atomic int started, lost, installed;

static void *alternate_handlers(void *unused)
{
	struct sigaction sa = { .sa_flags = SA_ONSTACK };

	for (int i = 0; !atomic_load(&started); i++) {
		struct sigaction now;

		sa.sa_handler = i % 2 ? on_urg : on_alarm;
		sigaction(SIGUSR1, &sa, NULL);
		for (int look = 0; look < 20; look++) {
			sigaction(SIGUSR1, NULL, &now);
			atomic_fetch_add(&lost, now.sa_handler != sa.sa_handler);
		}
		atomic_fetch_add(&installed, 1);
	}
	return unused;
}

/* As the C library does for itself with the first pthread_cancel, whenever that is. */
static void start_beside_it(void)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, alternate_handlers, NULL), "pthread_create");
	while (atomic_load(&installed) < 10)
		sched_yield();
	WORKS(rootfs_start(&error));
	atomic_store(&started, 1);
	pthread_join(thread, NULL);
	CHECK(!atomic_load(&lost), "%d looks found another handler than the one of the %d that was installed last", atomic_load(&lost),
	      atomic_load(&installed));
}

static void handler_installed_during_start(void)
{
	for (int i = 0; i < 8; i++)
		as_child(start_beside_it, 10);
}

const struct test_case signal_cases[] = {
	{ "signals: the host's SIGSEGV and SIGURG handlers work between calls", own_handlers },
	{ "signals: the host's own crash is the same signal", own_crash },
	{ "signals: handlers run during calls, on a proper stack", handlers_during_calls },
	{ "signals: a hook has the host's mask, and the host's handlers run meanwhile", during_hook },
	{ "signals: a handler installed during a call stays", handler_installed_meanwhile },
	{ "signals: a handler installed while the engine starts stays", handler_installed_during_start },
	{ NULL, NULL },
};
