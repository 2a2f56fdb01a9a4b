# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images, put together from files without a builder, in the format of ``docker save``."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import typing as t
from pathlib import Path


class Link(t.NamedTuple):
    """A symbolic link."""

    target: str


#: Path in an image -> what is there: the content of a file, or a link.
Files = t.Mapping[str, "Path | bytes | Link"]


class Image(t.NamedTuple):
    """:param config: as OCI has it, such as ``{"Entrypoint": [...]}``."""

    names: t.Sequence[str]
    layers: t.Sequence[bytes]
    config: t.Mapping[str, t.Any]


def layer(files: Files) -> bytes:
    """The same files give the same bytes."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        add(tar, files)
    return output.getvalue()


def add(tar: tarfile.TarFile, files: Files) -> None:
    """Add files, which are root's; what has no mode of its own can be executed."""
    for name, content in sorted(files.items()):
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.mode = 0o755
        if isinstance(content, Link):
            entry.type, entry.linkname = tarfile.SYMTYPE, content.target
            tar.addfile(entry)
            continue
        if isinstance(content, Path):
            entry.mode = content.stat().st_mode & 0o755
        data = content.read_bytes() if isinstance(content, Path) else content
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


def save(images: t.Iterable[Image], path: Path) -> None:
    """Write an archive of them, each layer once."""
    manifest, written = [], set()
    with tarfile.open(path, "w") as tar:

        def write(name: str, content: bytes) -> str:
            if name not in written:
                add(tar, {name: content})
                written.add(name)
            return name

        for image in images:
            digests = [hashlib.sha256(content).hexdigest() for content in image.layers]
            config = json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": image.config,
                    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
                }
            ).encode()
            manifest.append(
                {
                    "Config": write(f"{hashlib.sha256(config).hexdigest()}.json", config),
                    "RepoTags": list(image.names),
                    "Layers": [write(f"{d}.tar", content) for d, content in zip(digests, image.layers, strict=True)],
                }
            )
        write("manifest.json", json.dumps(manifest).encode())
