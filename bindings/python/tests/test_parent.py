"""What a parent may call, without any privilege, and the errors."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import rootfs

HERE = Path(__file__).resolve().parent


def test_version_is_the_headers():
    header = (HERE.parents[2] / "include/rootfs.h").read_text()
    numbers = [line.split()[2] for line in header.splitlines() if line.startswith("#define ROOTFS_VERSION_")]
    assert rootfs.version() == ".".join(numbers)


@pytest.mark.parametrize("form", ["path", "file", "dict", "text", "bytes"])
def test_every_form_of_a_config_is_the_same_config(bundle, form):
    path = bundle.write()
    options = None if form in ("path", "file") else {"bundle": str(path)}
    document = (path / "config.json").read_text()
    config = {
        "path": path,
        "file": path / "config.json",
        "dict": bundle.config,
        "text": document,
        "bytes": document.encode(),
    }[form]
    rootfs.validate(config, options=options)
    plan = rootfs.plan(config, options=options)
    assert plan["prepare"][0]["source"] == str(path / "rootfs")


def test_an_option_wins_over_the_path(bundle, tmp_path):
    path = bundle.write()
    with pytest.raises(rootfs.RootfsError) as caught:
        rootfs.validate(path, options={"bundle": str(tmp_path / "elsewhere")})
    assert caught.value.pointer == "/root/path"


def test_a_config_of_another_type_is_a_type_error():
    with pytest.raises(TypeError, match="list"):
        rootfs.validate([])


def test_a_wrong_field_is_named(bundle):
    bundle.config["mounts"][1]["options"] = "nosuid"
    with pytest.raises(rootfs.InvalidError) as caught:
        rootfs.validate(bundle.write())
    error = caught.value
    assert error.code is rootfs.Code.INVALID
    assert error.pointer == "/mounts/1/options"
    assert error.errno == 0
    assert error.operation
    assert "/mounts/1/options" in str(error) == error.message
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "nul", '{"root": "\udcff"}', '{"root": {"path": "/a\\u0000b"}}', b'{"a": "\xff"}']
)
def test_what_is_no_config_is_invalid(text):
    with pytest.raises(rootfs.InvalidError):
        rootfs.validate(text)


def test_an_unknown_option_is_named(bundle):
    with pytest.raises(rootfs.InvalidError) as caught:
        rootfs.validate(bundle.write(), options={"bundel": "/"})
    assert caught.value.pointer == "options#/bundel"


def test_the_plan_has_the_steps_in_order(bundle):
    plan = rootfs.plan(bundle.write())
    steps = [(step["op"], step.get("target")) for step in plan["prepare"]]
    assert steps.index(("mount", "/proc")) < steps.index(("mount", "/dev")) < steps.index(("device", "/dev/null"))
    assert ("mask-path", "/proc/keys") in [(step["op"], step.get("target")) for step in plan["finalize"]]


def test_features_are_those_of_the_specification():
    features = rootfs.features()
    assert {"rbind", "ro", "idmap", "rro"} <= set(features["mountOptions"])
    assert features["hooks"]


def test_threads_may_ask_at_the_same_time(bundle):
    path, failures = bundle.write(), []

    def ask():
        try:
            rootfs.validate(path)
        except rootfs.RootfsError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_importing_asking_and_starting_leave_the_process_as_it_was(bundle):
    """In a process of its own, since pytest's has a history."""
    program = f"""
import os, sys
def state():
    kept = ("Threads", "SigBlk", "SigIgn", "SigCgt", "Umask", "NoNewPrivs")
    status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith(kept))
    children = open(f"/proc/self/task/{{os.getpid()}}/children").read()
    limits = open("/proc/self/limits").read()
    environment = hash(tuple(os.environ.items()))
    return dict(status, fds=sorted(os.listdir("/proc/self/fd")), env=environment, cwd=os.getcwd(), children=children, limits=limits)
import ctypes, json, pathlib, dataclasses, enum, typing
before = state()
sys.path.insert(0, {str(HERE.parent)!r})
import rootfs
path = pathlib.Path({str(bundle.write())!r})
rootfs.validate(path), rootfs.plan(path), rootfs.features(), rootfs.open_sources(path).close()
def same():
    after = state()
    assert before == after, [(name, before[name], after[name]) for name in before if before[name] != after[name]]
same()
rootfs.start()
same()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def some_error() -> rootfs.RootfsError:
    with pytest.raises(rootfs.InvalidError) as caught:
        rootfs.validate('{"ociVersion": "1.2.0", "root": {"path": 5}}')
    return caught.value


def fields(error):
    return type(error), error.code, error.errno, error.operation, error.pointer, error.message


def test_an_error_survives_pickle_and_the_c_struct():
    error = some_error()
    assert fields(pickle.loads(pickle.dumps(error))) == fields(error)
    data = rootfs.error_to_bytes(error)
    assert len(data) < 4096, "PIPE_BUF"
    assert fields(rootfs.error_from_bytes(data)) == fields(error)


def test_bytes_that_are_no_error_are_refused():
    data = rootfs.error_to_bytes(some_error())
    with pytest.raises(ValueError, match="bytes"):
        rootfs.error_from_bytes(data[:-1])
    with pytest.raises(ValueError, match="code is 0"):
        rootfs.error_from_bytes(bytes(len(data)))


def test_what_does_not_fit_is_cut_at_a_character():
    error = rootfs.SyscallError("ä" * 5000, errno=errno.ENOSPC, operation="x" * 100)
    back = rootfs.error_from_bytes(rootfs.error_to_bytes(error))
    assert set(back.message) == {"ä"}
    assert 1500 < len(back.message) < 1536
    assert back.operation == "x" * 63
    assert back.errno == errno.ENOSPC


def test_each_code_has_its_class_and_an_unknown_one_none():
    classes = {type(rootfs.error_from_bytes(raw(code))) for code in rootfs.Code}
    assert len(classes) == len(rootfs.Code)
    assert rootfs.RootfsError not in classes
    newer = rootfs.error_from_bytes(raw(77))
    assert type(newer) is rootfs.RootfsError
    assert newer.code == 77
    assert newer.as_dict()["code"] == "77"


def raw(code: int) -> bytes:
    data = bytearray(rootfs.error_to_bytes(some_error()))
    data[4:8] = code.to_bytes(4, sys.byteorder)
    return bytes(data)


def test_codes_are_the_headers():
    header = (HERE.parents[2] / "include/rootfs.h").read_text()
    lines = [line.split() for line in header.splitlines() if line.startswith("#define ROOTFS_ERR_")]
    assert {words[1]: int(words[2]) for words in lines} == {f"ROOTFS_ERR_{code.name}": code.value for code in rootfs.Code}


def test_structs_are_the_headers(tmp_path):
    """Sizes and offsets against those that a C compiler finds."""
    from rootfs import _abi

    structs = {
        "error": _abi.Error,
        "progress": _abi.Progress,
        "source": _abi.Source,
        "request": _abi.Request,
        "terminal": _abi.Terminal,
    }
    ours = {}
    for name, struct in structs.items():
        ours[f"sizeof(struct rootfs_{name})"] = __import__("ctypes").sizeof(struct)
        ours.update({f"offsetof(struct rootfs_{name}, {f[0]})": getattr(struct, f[0]).offset for f in struct._fields_})
    prints = "".join(f'printf("%zu %s\\n", (size_t){c}, "{c}");' for c in ours)
    source = tmp_path / "layout.c"
    source.write_text(f"#include <rootfs.h>\n#include <stdio.h>\nint main(void) {{ {prints} return 0; }}\n")
    subprocess.run(["cc", "-I", HERE.parents[2] / "include", "-o", tmp_path / "layout", source], check=True)
    output = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    theirs = {line.split(" ", 1)[1]: int(line.split(" ", 1)[0]) for line in output.splitlines()}
    assert ours == theirs


def test_nothing_is_to_be_opened_without_need(bundle):
    with rootfs.open_sources(bundle.write()) as sources:
        assert len(sources) == 0


def test_console_arguments_have_their_limits():
    for arguments in ({"rows": -1}, {"columns": 1 << 16}, {"uid": 1 << 32}, {"gid": -1}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            rootfs.console(**arguments)


def test_a_library_that_is_missing_is_an_import_error(tmp_path):
    package = tmp_path / "rootfs"
    package.mkdir()
    for file in (HERE.parent / "rootfs").glob("*.py"):
        (package / file.name).write_text(file.read_text())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "LD_LIBRARY_PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", "import rootfs"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        pytest.skip("this system has a librootfs of its own")
    assert "ImportError: the library of package rootfs cannot be loaded: librootfs.so.0" in done.stderr


def test_every_public_name_has_a_doc_string():
    for name in rootfs.__all__:
        if name != "Config":
            assert getattr(rootfs, name).__doc__, name


def test_json_of_the_error():
    assert json.loads(json.dumps(some_error().as_dict()))["code"] == "invalid"
