"""Puts the three files of librootfs into the wheel: the C library, and beside it the engine and the helper.

They come from the directory that ROOTFS_LIB_DIR names (one laid out like $PREFIX/lib), or else from `make lib` at the top of
the source tree that this directory is part of. Everything else about the package is in pyproject.toml.
"""

import os
import re
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[1]
FILES = ["librootfs.so.0", "librootfs/librootfs-engine.so", "librootfs/rootfs-helper"]


def version() -> str:
    """That of include/rootfs.h, which is the one place where it is written; PKG-INFO has it in a source distribution."""
    header = TREE / "include" / "rootfs.h"
    if header.exists():
        parts = dict(re.findall(r"#define ROOTFS_VERSION_(MAJOR|MINOR|PATCH) (\d+)", header.read_text()))
        return "{MAJOR}.{MINOR}.{PATCH}".format(**parts)
    return re.search(r"^Version: (.+)$", (HERE / "PKG-INFO").read_text(), re.MULTILINE)[1]


def libraries() -> Path:
    """The directory with FILES."""
    prebuilt = os.environ.get("ROOTFS_LIB_DIR")
    if prebuilt:
        return Path(prebuilt)
    if not (TREE / "include" / "rootfs.h").exists():
        raise SystemExit("rootfs: outside of its source tree, ROOTFS_LIB_DIR must name the directory with librootfs.so.0")
    subprocess.run(["make", "-C", os.fspath(TREE), "lib"], check=True)
    return TREE / os.environ.get("BUILD", "build") / "lib"


class BuildPy(build_py):
    """build_py that also copies the libraries; an editable install uses those of the tree."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        source = libraries()
        for name in FILES:
            target = os.path.join(self.build_lib, "rootfs", "lib", name)
            self.mkpath(os.path.dirname(target))
            self.copy_file(os.fspath(source / name), target, preserve_times=False)


class Wheel(bdist_wheel):
    """A wheel for any Python 3 of this platform: ctypes needs no particular one."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class Binary(Distribution):
    """Has machine code, though no extension module."""

    def has_ext_modules(self):
        return True


setup(version=version(), distclass=Binary, cmdclass={"build_py": BuildPy, "bdist_wheel": Wheel})
