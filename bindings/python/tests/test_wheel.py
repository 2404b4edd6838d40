"""The wheel: built from a copy of the sources with the libraries of this tree, and used from an environment that has only it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import needs_root

TREE = Path(__file__).resolve().parents[3]
LIBRARIES = Path(os.environ.get("BUILD", TREE / "build")).resolve() / "lib"


def can_build():
    """Whether this environment can build wheels without the network."""
    if not all(importlib.util.find_spec(name) for name in ("pip", "setuptools")):
        return False
    return int(version("setuptools").split(".")[0]) >= 77


needs_setuptools = pytest.mark.skipif(not can_build(), reason="needs pip, and setuptools 77 or later")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's path."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(TREE / "include", tree / "include")
    ignored = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "tests", ".*")
    source = tree / "bindings/python"
    shutil.copytree(TREE / "bindings/python", source, ignore=ignored)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        tree,
        source,
    ]
    environment = {**os.environ, "ROOTFS_LIB_DIR": str(LIBRARIES)}
    subprocess.run(command, env=environment, check=True, timeout=120)
    (built,) = tree.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter in whose environment the wheel is all there is."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    interpreter = environment / "bin/python"
    command = [sys.executable, "-m", "pip", "--python", interpreter, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True, timeout=120)
    return interpreter


def clean_environment():
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


@needs_setuptools
def test_the_wheel_is_for_any_python_of_this_machine(wheel):
    name, _version, *tag = wheel.stem.split("-")
    assert (name, tag) == ("rootfs", ["py3", "none", f"linux_{os.uname().machine}"])


@needs_setuptools
def test_the_wheel_has_all_that_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        metadata = archive.read(next(name for name in modes if name.endswith("METADATA"))).decode()
    # What is loaded need only be read; the helper is executed.
    for name, needed in (
        ("librootfs.so.0", stat.S_IRUSR),
        ("librootfs/librootfs-engine.so", stat.S_IRUSR),
        ("librootfs/rootfs-helper", stat.S_IRUSR | stat.S_IXUSR),
    ):
        assert modes[f"rootfs/lib/{name}"] & needed == needed, name
    assert "rootfs/py.typed" in modes
    sources = {
        path.relative_to(TREE / "bindings/python").as_posix() for path in (TREE / "bindings/python/rootfs").rglob("*.py")
    }
    assert sources <= modes.keys()
    assert "Requires-Dist" not in metadata


@needs_setuptools
def test_the_installed_package_brings_its_library(python, bundle):
    program = "import rootfs, sys; print(rootfs.version(), rootfs._abi.lib._name)"
    done = subprocess.run([python, "-c", program], cwd="/", env=clean_environment(), capture_output=True, text=True, check=True)
    _version, library = done.stdout.split()
    assert Path(library).is_relative_to(python.parents[1])
    subprocess.run([python, "-m", "rootfs", "validate", bundle.write()], cwd="/", env=clean_environment(), check=True)


@needs_root
@needs_setuptools
def test_the_installed_package_runs_a_container(python, shell_bundle):
    shell_bundle.config["process"]["args"][2] = "echo from the container; exit 4"
    command = [python, "-m", "rootfs", "run", shell_bundle.write()]
    done = subprocess.run(command, cwd="/", env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("from the container\n", "", 4)


CONSUMER = """
from pathlib import Path
import rootfs

def mounts_ready() -> None: ...

def progress(step: rootfs.Progress) -> None:
    index: int = step.index
    target: str = step.target

try:
    with rootfs.open_sources({"ociVersion": "1.2.0"}, userns=-1) as sources:
        rootfs.prepare(Path("/b"), on_mounts_ready=mounts_ready, on_progress=progress, sources=sources)
    master: int = rootfs.console(24, 80, 0, 0)
    rootfs.finalize()
except rootfs.InvalidError as error:
    fields: tuple[int, int, str, str, str] = (error.code, error.errno, error.operation, error.pointer, error.message)
"""
WRONG = ["rootfs.prepare(5)", "rootfs.console('24')", "rootfs.prepare('', on_progress=lambda: None)", "rootfs.nothing()"]


@needs_setuptools
@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")
def test_the_installed_package_is_typed(python, tmp_path):
    def mypy(text):
        (tmp_path / "consumer.py").write_text(text)
        command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "consumer.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    right = mypy(CONSUMER)
    assert right.returncode == 0, right.stdout
    wrong = mypy(CONSUMER + "\n".join(WRONG))
    first = len(CONSUMER.splitlines()) + 1
    assert {int(line.split(":")[1]) for line in wrong.stdout.splitlines()[:-1]} == set(range(first, first + len(WRONG)))
