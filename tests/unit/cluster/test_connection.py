# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API server says, as a person gets to read it."""

from __future__ import annotations

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.cluster.connection import ApiError


@pytest.mark.parametrize(("quoted", "shown"), [("x" * 3000, "x" * 3000), ("x" * 100_000, " ... ")])
def test_a_message_keeps_the_field_and_what_is_wrong_with_it(quoted: str, shown: str) -> None:
    message = ApiError(422, {"message": f"spec.validations[0].expression: {quoted}: undeclared reference"}).message
    assert message.startswith("spec.validations[0].expression: x")
    assert message.endswith("x: undeclared reference")
    assert shown in message
    assert len(message) < 5000
