# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, said once: which item, why, and what to do about it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


class HardenedError(Exception):
    """The whole call cannot go on: no connection, no permission to read, unusable options."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}. {self.remedy}".rstrip() if self.remedy else self.message


@dataclass(frozen=True)
class Problem:
    """One item failed; the others go on.

    :param item: where it stands in the user's input, such as ``tenants[2] (shop-web).quota``.
    :param reason: what is wrong with it, naming the offending value.
    :param remedy: what to write or do instead.
    """

    item: str
    reason: str
    remedy: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        text = f"{self.item}: {self.reason.rstrip('.')}."
        return f"{text} {self.remedy.rstrip('.')}." if self.remedy else text

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "item": self.item,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "reason": self.reason,
            "remedy": self.remedy,
        }


#: How many problems a message has; all of them are in ``problems``.
_MESSAGES = 12


def summary(problems: t.Sequence[Problem]) -> str:
    """What a module's message says of them."""
    lines = [str(problem) for problem in problems[:_MESSAGES]]
    if len(problems) > _MESSAGES:
        lines.append(f"... and {len(problems) - _MESSAGES} more, all in problems")
    return "\n".join(lines)


class ItemError(Exception):
    """Raised while one item is being turned into objects; becomes a :class:`Problem`."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
