# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that are asked in lines of JSON: one question, one answer."""

from __future__ import annotations

import json
import subprocess
import threading
import typing as t
from pathlib import Path


def ask(program: Path, questions: t.Iterable[t.Any]) -> t.Iterator[t.Any]:
    """The answers, in order, while questions are still being put."""
    pipes: dict[str, t.Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([program], **pipes) as process:
        assert process.stdin
        assert process.stdout
        stdin = process.stdin

        def put() -> None:
            for question in questions:
                stdin.write(json.dumps(question) + "\n")
            stdin.close()

        thread = threading.Thread(target=put)
        thread.start()
        for line in process.stdout:
            yield json.loads(line)
        thread.join()
    if process.returncode:
        raise RuntimeError(f"{program} ended with {process.returncode}")
