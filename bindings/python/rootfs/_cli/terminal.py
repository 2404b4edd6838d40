"""The two ends of a container's terminal: the init child's, and the caller's."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import sys
import termios
import tty


def take_over() -> None:
    """Makes /dev/console the controlling terminal of this process, a session leader, and its descriptors 0, 1 and 2."""
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(console, termios.TIOCSCTTY, 0)
    for standard in (0, 1, 2):
        os.dup2(console, standard, inheritable=True)
    if console > 2:
        os.close(console)


def relay(master: int, init: int) -> None:
    """Copies between this process's standard input and output and the terminal, until the process ``init`` has ended.

    Closes ``master``. A terminal on standard input is raw meanwhile, and its size is the container's.
    """
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    ended = os.pidfd_open(init)
    if saved is not None:
        tty.setraw(0, termios.TCSANOW)  # what was typed ahead is kept
        _copy_size(master)
        signal.signal(signal.SIGWINCH, lambda _number, _frame: _copy_size(master))
    try:
        sys.stdout.flush()
        _copy(master, ended)
    finally:
        os.close(master)
        os.close(ended)
        if saved is not None:
            signal.signal(signal.SIGWINCH, signal.SIG_DFL)
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def _copy_size(master: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))


def _copy(master: int, ended: int) -> None:
    inputs = [0, master, ended]
    while True:
        ready, _, _ = select.select(inputs, [], [])
        if master in ready:
            data = _read(master)
            if data:
                _write(1, data)
            else:
                inputs.remove(master)
        elif ended in ready:
            return  # all that it wrote was there to be read before it was gone
        if 0 in ready:
            data = _read(0)
            if data:
                _write(master, data)
            else:
                inputs.remove(0)
                _write(master, b"\x04")  # what a user at a terminal types for "no more"


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError as error:
        # The master of a terminal that nobody has open any more reads as EIO.
        if error.errno != errno.EIO:
            raise
        return b""


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
