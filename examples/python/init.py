#!/usr/bin/env python3
"""init.py BUNDLE: runs an OCI bundle's process in new namespaces, as root. The smallest host of librootfs in Python."""

import ctypes
import json
import os
import sys
from pathlib import Path

import rootfs

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

bundle = Path(sys.argv[1])
process = json.loads((bundle / "config.json").read_text())["process"]
environment = dict(entry.split("=", 1) for entry in process.get("env", []))
rootfs.validate(bundle)  # in the parent: this starts nothing in it

if libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET) != 0:
    sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
reader, writer = os.pipe()
child = os.fork()  # pid 1 of the new pid namespace

if child == 0:
    try:
        rootfs.prepare(bundle, on_mounts_ready=lambda: print("mounts are ready", file=sys.stderr))
        rootfs.finalize()
        # A real runtime now sets user, capabilities, limits and seccomp.
        os.execvpe(process["args"][0], process["args"], environment)
    except rootfs.RootfsError as error:
        os.write(writer, rootfs.error_to_bytes(error))  # one atomic write
    except BaseException as error:
        print(error, file=sys.stderr)
    os._exit(1)

os.close(writer)
failure = os.read(reader, 8192)  # nothing, once the exec has closed the pipe
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(str(rootfs.error_from_bytes(failure)) if failure else status if status >= 0 else 128 - status)
