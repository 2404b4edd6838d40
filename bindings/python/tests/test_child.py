"""The whole set-up on the real kernel, in init children."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
import threading
import time
from pathlib import Path

import pytest
from conftest import (
    MNT_DETACH,
    NEWIPC,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    check,
    enter_namespaces,
    forked,
    init_child,
    libc,
    needs_root,
)

import rootfs

pytestmark = needs_root


def mount_options(target):
    """The options of the mount that is visible at ``target``."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return next(words[5].split(",") for words in reversed(lines) if words[4] == target)


def error_of(function):
    """errno of what ``function`` raises."""
    with pytest.raises(OSError) as caught:
        function()
    return caught.value.errno


def descriptors():
    """Without /proc, which is not an init child's own before prepare."""

    def is_open(fd):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            return False
        return True

    return [fd for fd in range(1024) if is_open(fd)]


def test_a_config_becomes_a_root(bundle):
    path = bundle.write()

    def child():
        rootfs.prepare(path)
        rootfs.finalize()
        assert Path("/etc/hostname").read_text() == "container\n"
        assert not path.exists(), "the host is still there"
        assert Path.cwd() == Path("/tmp")
        assert "ro" in mount_options("/")
        assert error_of(lambda: Path("/etc/new").write_text("x")) == errno.EROFS
        Path("/tmp/new").write_text("x")
        assert Path("/tmp/new").stat().st_mode & 0o777 == 0o640, "umask 027"
        assert Path("/dev/null").stat().st_rdev == os.makedev(1, 3)
        assert "ro" in mount_options("/proc/sys")
        assert Path("/proc/keys").read_bytes() == b"", "masked"
        report = rootfs.verify()
        assert report["deviations"] == []
        assert report["checked"] > 20

    init_child(child)


def test_verify_finds_what_was_changed_afterwards(bundle):
    path = bundle.write()

    def child():
        rootfs.prepare(path)
        rootfs.finalize()
        check(libc.umount2(b"/tmp", MNT_DETACH))
        deviations = rootfs.verify(bundle.config, options={"bundle": str(path)})["deviations"]
        assert {d["target"] for d in deviations} == {"/tmp"}, deviations
        assert all(d.keys() == {"pointer", "target", "aspect", "want", "got"} for d in deviations)

    init_child(child)


def test_callbacks_come_in_order_also_in_finalize(bundle):
    path = bundle.write()
    plan = rootfs.plan(path)

    def child():
        seen = []

        def ready():
            assert (path / "rootfs/dev/null").exists(), "/dev is made, and the root is still the host's"
            seen.append("ready")

        rootfs.prepare(path, on_mounts_ready=ready, on_progress=seen.append)
        first = [p for p in seen if p != "ready"]
        # What the callbacks are kept in must outlive everything that the collector would free.
        __import__("gc").collect()
        rootfs.finalize()
        second = [p for p in seen if p != "ready"][len(first) :]
        for steps, told in ((plan["prepare"], first), (plan["finalize"], second)):
            assert [p.index for p in told] == list(range(len(steps)))
            assert {p.count for p in told} == {len(steps)}
            assert [(p.operation, p.target, p.pointer) for p in told] == [
                (s["op"], s.get("target", ""), s.get("pointer", "")) for s in steps
            ]
        assert seen[seen.index("ready") - 1].operation == "mounts-ready"

    init_child(child)


class Odd(Exception):
    """One that no library knows."""


@pytest.mark.parametrize("kind", [Odd, KeyboardInterrupt, OSError])
def test_what_mounts_ready_raises_comes_out(bundle, kind):
    path = bundle.write()

    def child():
        raised = kind(errno.ENOTCONN, "x")

        def ready():
            raise raised

        with pytest.raises(kind) as caught:
            rootfs.prepare(path, on_mounts_ready=ready)
        assert caught.value is raised
        assert path.exists(), "the root was switched nevertheless"

    init_child(child)


def test_what_progress_raises_ends_prepare(bundle):
    path = bundle.write()

    def child():
        told = []

        def progress(step):
            told.append(step)
            if step.index == 1:
                raise Odd

        with pytest.raises(Odd):
            rootfs.prepare(path, on_progress=progress)
        assert len(told) == 2, "called again after it raised"
        assert path.exists(), "the root was switched nevertheless"

    init_child(child)


def test_what_progress_raises_in_finalize_comes_out(bundle):
    path = bundle.write()

    def child():
        def progress(step):
            if step.operation == "umask":
                raise Odd

        rootfs.prepare(path, on_progress=progress)
        with pytest.raises(Odd):
            rootfs.finalize()
        assert Path("/proc/keys").read_bytes() == b"", "the steps after it were done"

    init_child(child)


def test_a_failure_names_its_field_across_the_pipe(bundle):
    index = bundle.mount(destination="/mnt", type="bind", source="/nonexistent", options=["bind"])
    path = bundle.write()

    def child():
        with pytest.raises(rootfs.RootfsError) as caught:
            rootfs.prepare(path)
        return rootfs.error_to_bytes(caught.value)

    error = rootfs.error_from_bytes(init_child(child))
    assert type(error) is rootfs.SyscallError
    assert error.errno == errno.ENOENT
    assert error.pointer.startswith(f"/mounts/{index}")
    assert "/nonexistent" in error.message
    # And as an exception, by pickle.
    with pytest.raises(rootfs.SyscallError, match="/nonexistent"):
        init_child(lambda: rootfs.prepare(path))


def test_the_terminal_is_the_containers_console(bundle):
    bundle.config["process"]["terminal"] = True
    path = bundle.write()

    def child():
        rootfs.prepare(path)
        master = rootfs.console(rows=33, columns=99, gid=5)
        rootfs.finalize()
        assert fcntl.fcntl(master, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        console = os.open("/dev/console", os.O_RDWR)
        rows, columns = struct.unpack("HHHH", fcntl.ioctl(console, termios.TIOCGWINSZ, bytes(8)))[:2]
        assert (rows, columns) == (33, 99)
        assert os.fstat(console).st_gid == 5
        os.write(console, b"hello")
        assert os.read(master, 100) == b"hello"

    init_child(child)


@pytest.mark.parametrize("as_dict", [True, False])
def test_a_source_may_be_a_descriptor(bundle, as_dict):
    index = bundle.mount(destination="/mnt", type="bind", source="/nonexistent", options=["bind", "ro"])
    volume, path = bundle.volume(), bundle.write()

    def child():
        # Opened here: the kernel clones only mounts of the caller's own mount namespace, and detached ones.
        fd = os.open(volume, os.O_RDONLY)
        rootfs.prepare(path, sources={index: fd} if as_dict else [rootfs.Source(index, fd)])
        rootfs.finalize()
        assert Path("/mnt/data").read_text() == "of the host\n"
        assert error_of(lambda: Path("/mnt/new").write_text("x")) == errno.EROFS
        os.fstat(fd)

    init_child(child)


def test_the_root_may_be_a_descriptor(bundle):
    root = bundle.path / "rootfs"
    bundle.config["root"]["path"] = "place"
    (bundle.path / "place").mkdir()
    path = bundle.write()

    def child():
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
        rootfs.prepare(path, sources={rootfs.SOURCE_ROOT: fd})
        rootfs.finalize()
        assert Path("/etc/hostname").read_text() == "container\n"
        os.fstat(fd)

    init_child(child)


def test_an_idmapped_mount_in_a_pid_namespace(bundle):
    """The /proc that pid 1 of a new pid namespace sees before prepare shows the host's processes under its pids."""
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    source = str(bundle.volume())
    bundle.mount(destination="/mnt", type="bind", source=source, options=["bind", "idmap"], uidMappings=maps, gidMappings=maps)
    path = bundle.write()

    def child():
        rootfs.prepare(path)
        assert Path("/mnt/data").stat().st_uid == 100000

    init_child(child)


def test_a_parent_opens_what_the_child_cannot(bundle):
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    index = bundle.mount(
        destination="/mnt",
        type="bind",
        source=str(bundle.volume()),
        options=["bind", "idmap"],
        uidMappings=maps,
        gidMappings=maps,
    )
    path = bundle.write()
    before = descriptors()
    with rootfs.open_sources(path) as sources:
        assert [source.mount for source in sources] == [index]
        assert fcntl.fcntl(sources[0].fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC

        def child():
            rootfs.prepare(path, sources=sources)
            rootfs.finalize()
            assert Path("/mnt/data").stat().st_uid == 100000

        init_child(child)
    assert descriptors() == before


def test_sources_that_nobody_closes_warn_and_close(bundle):
    maps = [{"containerID": 0, "hostID": 100000, "size": 1}]
    source = str(bundle.volume())
    bundle.mount(destination="/mnt", type="bind", source=source, options=["bind", "idmap"], uidMappings=maps, gidMappings=maps)
    before = descriptors()
    sources = rootfs.open_sources(bundle.write())
    with pytest.warns(ResourceWarning, match="unclosed"):
        del sources
    assert descriptors() == before


def test_descriptors_are_as_they_were(bundle):
    path = bundle.write()

    def child():
        before = descriptors()
        rootfs.prepare(path)
        assert descriptors() == before
        rootfs.finalize()
        rootfs.verify()
        assert descriptors() == before

    init_child(child)


def test_calls_out_of_order_are_refused(bundle):
    path = bundle.write()

    def child():
        for call in (rootfs.finalize, rootfs.console):
            with pytest.raises(rootfs.StateError):
                call()
        rootfs.prepare(path)
        with pytest.raises(rootfs.StateError):
            rootfs.prepare(bundle.config, options={"bundle": str(path)})
        rootfs.finalize()
        for call in (rootfs.finalize, rootfs.console):
            with pytest.raises(rootfs.StateError):
                call()

    init_child(child)


def set_up(path):
    """A whole set-up, looked at from inside."""
    rootfs.prepare(path)
    rootfs.finalize()
    assert not path.exists(), "the host is still there"
    assert [name for name in os.listdir("/proc") if name.isdigit()] == ["1"]
    assert rootfs.verify()["deviations"] == []
    return Path("/etc/hostname").read_text()


def test_a_parent_may_start_the_engine_for_its_children(bundle):
    path = bundle.write()
    library = next(line for line in Path("/proc/self/maps").read_text().splitlines() if "/librootfs.so" in line)
    engine = Path(library.split(maxsplit=5)[5]).parent / "librootfs"

    def child():
        # With the engine's file out of reach, a set-up works by what the parent has loaded, or not at all.
        check(libc.mount(b"tmpfs", os.fsencode(engine), b"tmpfs", 0, None))
        return set_up(path)

    def parent():
        with pytest.raises(rootfs.EngineError):
            init_child(child)
        rootfs.start()
        for _ in range(3):
            assert init_child(child) == "container\n"

    forked(parent)


def test_a_process_with_the_engine_may_enter_namespaces(bundle):
    path = bundle.write()

    def child():
        rootfs.start()
        enter_namespaces(NEWUSER | NEWNS | NEWUTS | NEWIPC | NEWPID)
        for file, line in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
            Path("/proc/self", file).write_text(line)
        return forked(lambda: set_up(path))

    assert forked(child) == "container\n"


def test_a_call_waits_for_a_start_on_another_thread(bundle):
    path = bundle.write()

    def child():
        thread = threading.Thread(target=rootfs.start)
        thread.start()
        rootfs.prepare(path)
        thread.join()
        rootfs.finalize()
        return Path("/etc/hostname").read_text()

    for _ in range(20):
        assert init_child(child) == "container\n"


def test_a_fork_from_a_callback_or_after_prepare_is_refused(bundle):
    path = bundle.write()
    config, options = bundle.config, {"bundle": str(path)}
    calls = (rootfs.start, lambda: rootfs.prepare(config, options=options), rootfs.console, rootfs.finalize, rootfs.verify)

    def refused(why):
        for call in calls:
            with pytest.raises(rootfs.ForkedError, match=why):
                call()

    def child():
        rootfs.start()
        rootfs.prepare(path, on_mounts_ready=lambda: forked(lambda: refused("callback")))
        forked(lambda: refused("rootfs_prepare"))
        rootfs.finalize()
        forked(lambda: refused("rootfs_prepare"))
        # Which is no matter to the one that was there before.
        assert rootfs.verify()["deviations"] == []

    init_child(child)


def test_a_pending_pid_namespace_gets_no_helper_for_its_init(bundle):
    path = bundle.write()
    questions = (lambda: rootfs.validate(path), lambda: rootfs.plan(path), rootfs.features, lambda: rootfs.open_sources(path))

    def child():
        enter_namespaces()
        for ask in questions:
            with pytest.raises(rootfs.StateError, match="pid namespace"):
                ask()
        rootfs.start()
        return forked(lambda: set_up(path))

    assert forked(child) == "container\n"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("started", [False, True])
def test_a_parent_full_of_threads_may_fork(bundle, started):
    path, stop = bundle.write(), threading.Event()

    def busy():
        while not stop.is_set():
            rootfs.version()
            sorted(os.urandom(2000))
            time.sleep(0.0005)

    def parent():
        if started:
            rootfs.start()
        threads = [threading.Thread(target=busy) for _ in range(16)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                assert init_child(lambda: set_up(path)) == "container\n"
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    forked(parent)


def test_other_python_threads_run_meanwhile(bundle):
    """The calls give up the interpreter's lock: prepare waits in a hook, which waits for a thread of the child."""
    hook, started, answer = (bundle.path / name for name in ("hook", "started", "answer"))
    hook.write_text(f"#!/bin/sh\n: >{started}\nfor i in $(seq 500); do [ -e {answer} ] && exit; sleep 0.02; done\nexit 1\n")
    hook.chmod(0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": str(hook)}]}
    path = bundle.write()

    def child():
        def wait_and_answer():
            while not started.exists():
                time.sleep(0.005)
            answer.touch()

        threading.Thread(target=wait_and_answer, daemon=True).start()
        rootfs.prepare(path)

    init_child(child)
