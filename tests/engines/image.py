# SPDX-License-Identifier: Apache-2.0
"""An image made from files: one layer with busybox, in the format of `docker save`, which both engines read."""

import hashlib
import io
import json
import tarfile

NAME = "localhost/busybox:latest"


def write(rootfs, path, name=NAME, command=("sh",)):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(rootfs, arcname=".")
    data = layer.getvalue()
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest()]},
        "history": [{"created_by": "tests/engines"}]}).encode()
    digest = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": digest, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in ((digest, config), ("layer.tar", data), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
