/* SPDX-License-Identifier: Apache-2.0
 *
 * A container in the foreground: signals go to it, its terminal is relayed, its exit status becomes ours.
 */
#include "minictr.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

void signals_block(sigset_t *old)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, old);
}

/* true: ended, *status is its exit status as a shell gives it. */
static bool reap(pid_t pid, int *status)
{
	int raw;
	if (waitpid(pid, &raw, WNOHANG) != pid)
		return false;
	*status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
	return true;
}

static void forward(pid_t pid, int signal)
{
	/* SIGTSTP and its like would stop the container's first process with nobody to continue it. */
	if (signal != SIGCHLD && signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU && signal != SIGURG)
		kill(pid, signal);
}

static int wait_plain(pid_t pid)
{
	sigset_t all;
	siginfo_t info;
	int status;
	sigfillset(&all);
	while (!reap(pid, &status))
		if (sigwaitinfo(&all, &info) > 0)
			forward(pid, info.si_signo);
	return status;
}

static void copy_size(int master)
{
	struct winsize size;
	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(master, TIOCSWINSZ, &size);
}

/* false: nothing more will come. */
static bool relay(int from, int to)
{
	char buffer[8192];
	ssize_t n = read(from, buffer, sizeof(buffer));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	for (ssize_t done = 0; done < n;) {
		ssize_t w = write(to, buffer + done, (size_t)(n - done));
		if (w < 0 && errno != EINTR)
			return false;
		done += w > 0 ? w : 0;
	}
	return n > 0;
}

static int wait_terminal(pid_t pid, int master)
{
	struct termios before, raw;
	bool is_tty = tcgetattr(STDIN_FILENO, &before) == 0, ended = false;
	int status = 1;
	sigset_t all;
	if (is_tty) {
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		copy_size(master);
	}
	sigfillset(&all);
	struct pollfd fds[] = {{signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0},
			       {master, POLLIN, 0},
			       {STDIN_FILENO, POLLIN, 0}};
	ended = reap(pid, &status); /* its SIGCHLD may have come before */
	/* After its end what it wrote is still to be read: until the terminal has no other side any more. */
	while (!ended || fds[1].fd >= 0) {
		struct signalfd_siginfo info;
		int n = poll(fds, 3, ended ? 100 : -1);
		if (n < 0 && errno != EINTR)
			break;
		if (n == 0)
			break; /* something else in the container holds the terminal open; we do not wait for that */
		while (read(fds[0].fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			if (info.ssi_signo == SIGWINCH && is_tty)
				copy_size(master);
			else
				forward(pid, (int)info.ssi_signo);
		}
		ended = ended || reap(pid, &status);
		if (fds[1].fd >= 0 && fds[1].revents != 0 && !relay(master, STDOUT_FILENO))
			fds[1].fd = -1;
		if (fds[2].revents != 0 && !relay(STDIN_FILENO, master)) {
			/* End of input is a character to a terminal. */
			if (!is_tty && write(master, "\004", 1) < 0)
				fds[1].fd = -1;
			fds[2].fd = -1;
		}
	}
	if (is_tty)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	close(fds[0].fd);
	return status;
}

int wait_for(pid_t pid, int master)
{
	return master < 0 ? wait_plain(pid) : wait_terminal(pid, master);
}
