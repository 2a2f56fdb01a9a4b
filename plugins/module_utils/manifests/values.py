# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as the Kubernetes API wants them: parsed, checked, and explained when they are wrong.

Every function raises :class:`ItemError` with the offending value and what to write instead.
Grammars: k8s.io/apimachinery (api/resource, util/validation, api/validation/path), Go's time.ParseDuration.
"""

from __future__ import annotations

import contextlib
import decimal
import ipaddress
import re
import typing as t

from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
# The API server takes exponents without end, and computes them; nobody means more than three digits.
_QUANTITY = re.compile(rf"(?=.{{1,64}}\Z)([+-]?{_NUMBER})(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]{{1,3}})?")
_BINARY = {suffix: 1024 ** (power + 1) for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NANO = decimal.Decimal("1e-9")
#: Where binary quantities end.
MOST = decimal.Decimal(2**63 - 1)
# Wide enough for all that _QUANTITY lets through.
_EXACT = decimal.Context(prec=1200, rounding=decimal.ROUND_UP)
_SECONDS = {
    "ns": decimal.Decimal("1e-9"),
    "us": decimal.Decimal("1e-6"),
    "\u00b5s": decimal.Decimal("1e-6"),  # the micro sign, and the Greek letter
    "\u03bcs": decimal.Decimal("1e-6"),
    "ms": decimal.Decimal("1e-3"),
    "s": decimal.Decimal(1),
    "m": decimal.Decimal(60),
    "h": decimal.Decimal(3600),
}
_DURATION_PART = re.compile(rf"({_NUMBER})({'|'.join(_SECONDS)})")
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_DURATION_PART.pattern})+)")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_ANNOTATIONS_SIZE = 256 * 1024
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def quantity(value: t.Any) -> decimal.Decimal:
    """A resource quantity's value: ``500m`` is 0.5, ``1Ki`` is 1024.

    Numbers that YAML has read are taken as they are; a bool is not a number. As in the API server, what
    is finer than a billionth is rounded away from zero, and binary quantities end at 2^63-1.
    """
    match = _QUANTITY.fullmatch(str(value))
    if not match:
        raise ItemError(f"{value!r} is no quantity", "Write a number, or a number with a suffix such as 500m or 2Gi")
    number, suffix = decimal.Decimal(match.group(1)), match.group(2) or ""
    if suffix in _BINARY:
        number = _EXACT.multiply(number, decimal.Decimal(_BINARY[suffix]))
        number = max(-MOST, min(number, MOST))
    else:
        exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
        number = _EXACT.scaleb(number, decimal.Decimal(exponent))
    return _EXACT.quantize(number, _NANO)


def duration(value: t.Any) -> decimal.Decimal:
    """A Go duration in seconds: ``1m30s`` is 90."""
    text = str(value)
    if not _DURATION.fullmatch(text):
        raise ItemError(f"{value!r} is no duration", "Write it as 30s, 15m or 1h30m")
    parts = _DURATION_PART.findall(text)
    seconds = sum((decimal.Decimal(number) * _SECONDS[unit] for number, unit in parts), decimal.Decimal(0))
    return -seconds if text.startswith("-") else seconds


def dns_label(value: t.Any, what: str = "name") -> str:
    """A name of at most 63 characters (RFC 1123 label): namespaces, services."""
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
        raise ItemError(
            f"{what} {text!r} cannot be a name", "It must not be empty, '.' or '..', nor contain '/' or '%'"
        )
    return text


def qualified_name(value: t.Any, what: str) -> str:
    """``[prefix/]name``: keys of labels, names of resources."""
    text = str(value)
    prefix, slash, name = text.rpartition("/")
    prefixed = not slash or (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix))
    if not prefixed or not _QUALIFIED.fullmatch(name):
        raise ItemError(
            f"{text!r} is not a {what}",
            "Use [prefix/]name, the prefix a DNS subdomain, the name of letters, digits, '-', '_' and '.', 63 at most",
        )
    return text


def label_key(value: t.Any) -> str:
    """The key of a label: ``app``, ``app.kubernetes.io/name``."""
    return qualified_name(value, "label key")


def label_value(value: t.Any) -> str:
    """The value of a label; a bool or a float is not what its author wrote."""
    text = _text(value, "label value")
    if text and not _QUALIFIED.fullmatch(text):
        raise ItemError(
            f"{text!r} is not a label value",
            "Use letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, 63 at most",
        )
    return text


def _text(value: t.Any, what: str) -> str:
    """A scalar as text, unless YAML may have changed it: ``yes`` is read as true, ``1.10`` as 1.1."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise ItemError(f"{what} {value!r} is not text, as YAML reads it", "Put it in quotes")


def labels(mapping: t.Mapping[t.Any, t.Any]) -> t.Dict[str, str]:
    """A checked copy of a label map, its values as strings."""
    return {label_key(key): label_value(value) for key, value in mapping.items()}


def annotation_map(mapping: t.Mapping[t.Any, t.Any]) -> t.Dict[str, str]:
    """A checked copy of an annotation map; values are any text, and capitals are fine in a key's prefix."""
    for key in mapping:
        qualified_name(str(key).lower(), "annotation key")
    checked = {str(key): _text(value, f"annotation {key}") for key, value in mapping.items()}
    if sum(len(part.encode()) for item in checked.items() for part in item) > _ANNOTATIONS_SIZE:
        raise ItemError("the annotations are more than 256 KiB", "Keep such data in a ConfigMap")
    return checked


#: Labels and annotations that tools write for their own book-keeping; no part of a declaration.
_BOOK_KEEPING = (
    "kubernetes.io/metadata.name",
    "hardened.k8s/",
    "applyset.kubernetes.io/",
    "kubectl.kubernetes.io/",
)


def told(metadata: t.Optional[t.Mapping[str, str]]) -> t.Dict[str, str]:
    """The labels or annotations of a live object that somebody chose to say."""
    return {key: value for key, value in (metadata or {}).items() if not key.startswith(_BOOK_KEEPING)}


def cidr(value: t.Any) -> Network:
    """A network in CIDR notation, without host bits."""
    text = str(value)
    address, slash, length = text.partition("/")
    if not slash:
        raise ItemError(
            f"{text!r} has no prefix length",
            f"For a single address write {text}/{128 if ':' in text else 32}",
        )
    network: t.Optional[Network] = None
    with contextlib.suppress(ValueError):
        network = ipaddress.ip_network(text, strict=False)
    # Python also reads netmasks and zones here
    if network is None or length != str(network.prefixlen) or "%" in address:
        raise ItemError(f"{text!r} is no CIDR", "Write it as 192.0.2.0/24 or 2001:db8::/32")
    if ipaddress.ip_address(address) != network.network_address:
        raise ItemError(
            f"{text!r} has host bits set",
            f"Write the network, {network}, or the address, {address}/{network.max_prefixlen}",
        )
    return network


def port_number(value: t.Any) -> int:
    """A port, as a number or as text that YAML left alone."""
    text = str(value)
    if not re.fullmatch("-?[0-9]+", text):
        raise ItemError(f"{value!r} is no port number", "Ports are 1 to 65535")
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise ItemError(f"port {text} is out of range", "Ports are 1 to 65535")
    return int(text)


def port_name(value: t.Any) -> str:
    """A container port's name (IANA_SVC_NAME): at most 15 characters with at least one letter."""
    text = str(value)
    if len(text) > 15 or not _PORT_NAME.fullmatch(text):
        raise ItemError(
            f"{text!r} is no port name",
            "Use at most 15 lower-case letters, digits and '-', with a letter in it",
        )
    return text


def domain_name(value: t.Any) -> str:
    """A name in the DNS; ``*.`` may stand before it for the names below it."""
    text = str(value)
    name = text[2:] if text.startswith("*.") else text
    if "." not in name or len(text) > 253 or not _SUBDOMAIN.fullmatch(name):
        raise ItemError(f"{text!r} is no domain name", "Write it as www.example.com or *.example.com")
    return text
