# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as the Kubernetes API wants them: parsed, checked, and explained when they are wrong.

Every function raises :class:`ItemError` with the offending value and what to write instead.
Grammars: k8s.io/apimachinery (api/resource, util/validation, api/validation/path), net/netip.
"""

from __future__ import annotations

import decimal
import ipaddress
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?")
_BINARY = {suffix: 1024 ** (power + 1) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {
    "ns": decimal.Decimal("1e-9"),
    "us": decimal.Decimal("1e-6"),
    "µs": decimal.Decimal("1e-6"),
    "ms": decimal.Decimal("1e-3"),
    "s": decimal.Decimal(1),
    "m": decimal.Decimal(60),
    "h": decimal.Decimal(3600),
}
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def quantity(value: t.Any) -> decimal.Decimal:
    """A resource quantity's value: ``500m`` is 0.5, ``1Ki`` is 1024.

    Numbers that YAML has already read are taken as they are; a bool is not a number.
    """
    if isinstance(value, bool):
        raise ItemError(f"{value} is no quantity", "Write a number, or a number with a suffix such as 500m or 2Gi")
    match = _QUANTITY.fullmatch(str(value))
    if not match:
        raise ItemError(f"{value!r} is no quantity", "Write a number, or a number with a suffix such as 500m or 2Gi")
    number, suffix = decimal.Decimal(match.group(1)), match.group(2) or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def duration(value: t.Any) -> decimal.Decimal:
    """A Go duration in seconds: ``1m30s`` is 90."""
    text = str(value)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        if text == "0":
            return decimal.Decimal(0)
        raise ItemError(f"{value!r} is no duration", "Write it as 30s, 15m or 1h30m")
    return sum((decimal.Decimal(number) * _SECONDS[unit] for number, unit in parts), decimal.Decimal(0))


def dns_label(value: t.Any, what: str = "name") -> str:
    """A name of at most 63 characters (RFC 1123 label): namespaces, port names of services."""
    text = str(value)
    if not _LABEL.fullmatch(text):
        raise ItemError(
            f"{what} {text!r} is not a DNS label",
            "Use lower-case letters, digits and '-', beginning and ending with a letter or digit, 63 at most",
        )
    return text


def dns_subdomain(value: t.Any, what: str = "name") -> str:
    """A name of at most 253 characters (RFC 1123 subdomain): most objects."""
    text = str(value)
    if len(text) > 253 or not _SUBDOMAIN.fullmatch(text):
        raise ItemError(
            f"{what} {text!r} is not a DNS subdomain",
            "Use lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit, 253 at most",
        )
    return text


def path_segment(value: t.Any, what: str = "name") -> str:
    """A name that may stand in a URL path: roles and bindings, which may also have ':' and capitals."""
    text = str(value)
    if text in ("", ".", "..") or "/" in text or "%" in text:
        raise ItemError(f"{what} {text!r} cannot be a name", "It must not be empty, '.' or '..', nor contain '/' or '%'")
    return text


def label_key(value: t.Any) -> str:
    text = str(value)
    prefix, slash, name = text.rpartition("/")
    if slash:
        dns_subdomain(prefix, "label prefix")
    if not _QUALIFIED.fullmatch(name):
        raise ItemError(
            f"{text!r} is not a label key",
            "Use [prefix/]name, the name of letters, digits, '-', '_' and '.', 63 at most",
        )
    return text


def label_value(value: t.Any) -> str:
    if isinstance(value, bool):
        raise ItemError(f"label value {value} is a boolean", f'Put it in quotes: "{str(value).lower()}"')
    if value is None:
        raise ItemError("a label has no value", 'Give it one, or "" for an empty one; a template may have given none')
    text = str(value)
    if text and not _QUALIFIED.fullmatch(text):
        raise ItemError(
            f"{text!r} is not a label value",
            "Use letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, 63 at most",
        )
    return text


def labels(mapping: t.Mapping[t.Any, t.Any]) -> t.Dict[str, str]:
    """A checked copy of a label map, its values as strings."""
    return {label_key(key): label_value(value) for key, value in mapping.items()}


def annotations(mapping: t.Mapping[t.Any, t.Any]) -> t.Dict[str, str]:
    """A checked copy of an annotation map; values are any text."""
    for value in mapping.values():
        if value is None or isinstance(value, (dict, list, bool)):
            raise ItemError(f"annotation value {value!r} is not text", "Put it in quotes")
    return {label_key(key): str(value) for key, value in mapping.items()}


#: Labels and annotations that tools write for their own book-keeping; no part of a declaration.
_BOOK_KEEPING = ("kubernetes.io/metadata.name", "hardened.k8s/", "applyset.kubernetes.io/", "kubectl.kubernetes.io/")


def told(metadata: t.Optional[t.Mapping[str, str]]) -> t.Dict[str, str]:
    """The labels or annotations of a live object that somebody chose to say."""
    return {key: value for key, value in (metadata or {}).items() if not key.startswith(_BOOK_KEEPING)}


def cidr(value: t.Any) -> t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]:
    """A network in CIDR notation, without host bits."""
    text = str(value)
    if "/" not in text:
        raise ItemError(f"{text!r} has no prefix length", f"For a single address write {text}/32, or /128 for IPv6")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ItemError(f"{text!r} is no CIDR", "Write it as 192.0.2.0/24 or 2001:db8::/32") from error
    raise ItemError(f"{text!r} has host bits set", f"Write the network, {network}, or the address, {text.split('/')[0]}/{network.max_prefixlen}")


def port_number(value: t.Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise ItemError(f"{value!r} is no port number", "Ports are 1 to 65535") from error
    if isinstance(value, bool) or not 1 <= number <= 65535:
        raise ItemError(f"port {value} is out of range", "Ports are 1 to 65535")
    return number


def port_name(value: t.Any) -> str:
    """A container port's name (IANA_SVC_NAME): at most 15 characters with at least one letter."""
    text = str(value)
    if len(text) > 15 or not _PORT_NAME.fullmatch(text):
        raise ItemError(f"{text!r} is no port name", "Use at most 15 lower-case letters, digits and '-', with a letter in it")
    return text
