# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not be in the tree, and what every Python file must have."""

from __future__ import annotations

import re
import sys
import typing as t

from tests.gates.collection import files
from tests.gates.environment import ROOT

_LICENSE = "SPDX-License-Identifier: GPL-3.0-or-later"

#: Pattern -> what is wrong with a line that has it.
_UNWANTED = {
    r"(?<![\w.-])/(?:home|root|Users|work|farm)/": "a path of one machine",
    r"^--?(?:i|f|index-url|extra-index-url|find-links|trusted-host)\b": "a package index of one machine",
    r"\w://[^/\s{}<>]+:[^/\s{}<>]+@": "credentials in an address",
    r"#\s*(?:no[q]a|type:\s*igno[r]e|pylint:\s*disable|fmt:\s*(?:off|skip)|nose[c])": "a silenced check",
    r"pytest\.(?:ski[p]|xfai[l]|importorski[p])|mark\.(?:ski[p]|xfai[l])": "a test that does not run",
}


def complaints() -> t.Iterator[str]:
    for name in files():
        if name.match("tests/sanity/ignore-*.txt"):
            yield f"{name}: no sanity test is ignored here"
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            yield f"{name}: not text"
            continue
        if name.suffix == ".py" and text and _LICENSE not in text:
            yield f"{name}: lacks the line {_LICENSE!r}"
        for number, line in enumerate(text.splitlines(), start=1):
            for pattern, wrong in _UNWANTED.items():
                if re.search(pattern, line):
                    yield f"{name}:{number}: {wrong}: {line.strip()}"


def main() -> int:
    found = list(complaints())
    print("\n".join(found) or "nothing unwanted in the tree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
