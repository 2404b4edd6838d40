"""A host in Python that knows only the installed package. Prints the mount points that its child sees."""

import ctypes
import os
import sys
import traceback

import rootfs

CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000

config = {
    "ociVersion": "1.0.2",
    "root": {"path": sys.argv[1]},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
}
try:
    rootfs.validate(config)
except rootfs.RootfsError as error:
    sys.exit(str(error))
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWPID) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
pid = os.fork()
if pid == 0:
    status = 1
    try:
        rootfs.prepare(config)
        rootfs.finalize()
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            for line in table:
                print(line.split()[4], flush=True)
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
