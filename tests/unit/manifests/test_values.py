# Copyright: (c) 2026, hardened.k8s contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values are read as the Kubernetes API reads them, and what it would refuse is explained."""

from __future__ import annotations

import ipaddress
import typing as t
from decimal import Decimal

import pytest
from ansible_collections.hardened.k8s.plugins.module_utils.errors import ItemError
from ansible_collections.hardened.k8s.plugins.module_utils.manifests import values
from hypothesis import given
from hypothesis import strategies as st

SUFFIXES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("numk", -3) if suffix != "k"},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(["", *"kMGTPE"])},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], 1)},
}


def refused(check: t.Callable[[t.Any], object], value: t.Any) -> str:
    """Why a value is refused, and what to write instead."""
    with pytest.raises(ItemError) as caught:
        check(value)
    assert caught.value.remedy
    return f"{caught.value.reason}. {caught.value.remedy}"


# -- quantities


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("1000m", "1"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1k", "1000"),
        ("1E", "1000000000000000000"),
        ("1E3", "1000"),
        ("1e3", "1000"),
        ("1e-3", "0.001"),
        ("12E+2", "1200"),
        ("-1", "-1"),
        ("+.5", "0.5"),
        ("1.", "1"),
        (4, "4"),
        (0.25, "0.25"),
        ("0.1n", "0.000000001"),
        ("-0.1n", "-0.000000001"),
        ("9999Ei", "9223372036854775807"),
        ("1e999", "1e999"),
    ],
)
def test_quantities_are_worth_what_the_api_server_makes_of_them(text: t.Any, value: str) -> None:
    assert values.quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["1K", "1KI", "1mi", "1e3m", "1Ki5", "1 Gi", "m", "1e", "1e1000", "1" * 65])
def test_suffixes_are_the_apis(text: str) -> None:
    assert "500m" in refused(values.quantity, text)


@pytest.mark.parametrize("text", ["", " 1", "1\n", "--1", "0x10", "1_000", "1,5", "٣", "nan", "inf", [], None])
def test_what_is_no_quantity_is_refused(text: t.Any) -> None:
    assert "500m" in refused(values.quantity, text)


def test_a_boolean_is_no_quantity() -> None:
    assert "True is no quantity" in refused(values.quantity, True)


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(sorted(SUFFIXES)),
    st.integers(-(10**12), 10**12),
    st.sampled_from(sorted(SUFFIXES)),
)
def test_quantities_compare_by_their_value(one: int, suffix: str, other: int, second: str) -> None:
    def exact(number: int, unit: str) -> Decimal:
        value = number * SUFFIXES[unit]
        return max(-values.MOST, min(value, values.MOST)) if unit.endswith("i") else value

    left, right = values.quantity(f"{one}{suffix}"), values.quantity(f"{other}{second}")
    assert (left < right, left == right) == (
        exact(one, suffix) < exact(other, second),
        exact(one, suffix) == exact(other, second),
    )


@given(st.text(alphabet="0123456789.+-eEKMGTPinumk", max_size=12))
def test_any_text_is_a_quantity_or_explained(text: str) -> None:
    try:
        value = values.quantity(text)
    except ItemError:
        assert repr(text) in refused(values.quantity, text)
    else:
        assert value.is_finite()


# -- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", "60"),
        ("1m0s", "60"),
        ("1h30m", "5400"),
        ("1.5h", "5400"),
        (".5s", "0.5"),
        ("250ms", "0.25"),
        ("1\u00b5s", "0.000001"),
        ("1\u03bcs", "0.000001"),
        ("-1m30s", "-90"),
        ("0", "0"),
    ],
)
def test_durations_are_gos(text: str, seconds: str) -> None:
    assert values.duration(text) == Decimal(seconds)


@pytest.mark.parametrize("text", ["", "60", "1d", "1m 30s", "s", "1.2.3s", "1h30", "٣s", "00", "1m-30s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert "1h30m" in refused(values.duration, text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int) -> None:
    total = hours * 3600 + minutes * 60 + seconds
    assert values.duration(f"{hours}h{minutes}m{seconds}s") == values.duration(f"{total}s") == total


# -- names, labels and annotations

CHECKS: dict[t.Callable[[t.Any], object], tuple[list[str], list[str]]] = {
    values.dns_label: (
        ["a", "shop-web", "9-to-5", "a" * 63],
        ["", "a" * 64, "-a", "a-", "A", "a.b", "a_b", "é", "a\n"],
    ),
    values.dns_subdomain: (
        ["a", "a.b-c.d", "a" * 64 + ".b", ".".join(["a" * 63] * 3) + "." + "a" * 61],
        ["", ".a", "a..b", "a.", "A.b", "a_b", ".".join(["a" * 63] * 4), "a.-b", "a\n"],
    ),
    values.path_segment: (
        ["system:node", "Team Shop", "a.b", "...", "äöü"],
        ["", ".", "..", "a/b", "100%", "/"],
    ),
    values.label_key: (
        ["app", "App_1.x", "app.kubernetes.io/name", "a" * 63, "x/Y"],
        ["", "/a", "a/", "a/b/c", "-a", "a" * 64, "Upper.io/a", "a b", "a\n", "_.io/a"],
    ),
    values.label_value: (["", "a", "A.b_c-1", "a" * 63], ["-a", "a-", "a b", "a/b", "a" * 64, "é", "a\n"]),
    values.port_name: (
        ["http", "h2c", "a" * 15, "9p"],
        ["", "8080", "a" * 16, "HTTP", "a--b", "-a", "a-", "a_b", "a\n"],
    ),
}


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, (good, _bad) in CHECKS.items() for text in good])
def test_names_that_the_api_takes_are_taken(check: t.Callable[[t.Any], object], text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize(("check", "text"), [(check, text) for check, (_good, bad) in CHECKS.items() for text in bad])
def test_names_that_the_api_refuses_are_refused(check: t.Callable[[t.Any], object], text: str) -> None:
    refused(check, text)


def test_a_name_is_called_what_it_is() -> None:
    assert "namespace 'Shop' is not a DNS label" in refused(lambda text: values.dns_label(text, "namespace"), "Shop")


def test_labels_are_text() -> None:
    assert values.labels({"team": "shop", "year": 2027, "none": ""}) == {
        "team": "shop",
        "year": "2027",
        "none": "",
    }


@pytest.mark.parametrize("value", [True, False, 1.1, [], {}, None])
@pytest.mark.parametrize("check", [values.labels, values.annotation_map])
def test_what_yaml_has_changed_asks_for_quotes(check: t.Callable[[t.Any], object], value: t.Any) -> None:
    assert "quotes" in refused(check, {"key": value})


def test_annotations_are_any_text_under_any_key() -> None:
    mapping = {"Example.COM/Link": "https://example.com/?a=b\n", "count": 3}
    assert values.annotation_map(mapping) == {"Example.COM/Link": "https://example.com/?a=b\n", "count": "3"}
    assert "annotation key" in refused(values.annotation_map, {"a b": "c"})


def test_annotations_end_at_the_size_that_the_api_takes() -> None:
    assert values.annotation_map({"key": "x" * (256 * 1024 - 3)})
    assert "256 KiB" in refused(values.annotation_map, {"key": "é" * (128 * 1024 - 1)})


def test_book_keeping_is_not_told() -> None:
    metadata = {
        "kubernetes.io/metadata.name": "shop",
        "hardened.k8s/owner": "tenant",
        "applyset.kubernetes.io/part-of": "applyset-x-v1",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "team": "shop",
    }
    assert values.told(metadata) == {"team": "shop"}
    assert values.told(None) == {}


# -- networks and ports


@pytest.mark.parametrize("text", ["192.0.2.0/24", "0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::/0", "::1/128"])
def test_networks_are_read(text: str) -> None:
    assert values.cidr(text) == ipaddress.ip_network(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.0.2.1/24", "Write the network, 192.0.2.0/24, or the address, 192.0.2.1/32"),
        ("2001:db8::1/32", "Write the network, 2001:db8::/32, or the address, 2001:db8::1/128"),
        ("192.0.2.1", "write 192.0.2.1/32"),
        ("2001:db8::1", "write 2001:db8::1/128"),
        ("192.0.2.0/255.255.255.0", "is no CIDR"),
        ("192.0.2.0/0.0.0.255", "is no CIDR"),
        ("192.0.2.0/024", "is no CIDR"),
        ("192.0.2.0/33", "is no CIDR"),
        ("192.0.2/24", "is no CIDR"),
        ("fe80::%eth0/64", "is no CIDR"),
        ("web/24", "is no CIDR"),
        ("192.0.2.0/", "is no CIDR"),
        (192, "no prefix length"),
    ],
)
def test_what_is_no_network_is_refused(text: t.Any, said: str) -> None:
    assert said in refused(values.cidr, text)


@given(st.ip_addresses(), st.integers(0, 128))
def test_host_bits_are_refused_with_the_network_that_is_meant(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    length = min(length, address.max_prefixlen)
    network = ipaddress.ip_network((address, length), strict=False)
    assert values.cidr(str(network)) == network
    if network.network_address != address:
        said = refused(values.cidr, f"{address}/{length}")
        assert f"Write the network, {network}, or the address, {address}/{address.max_prefixlen}" in said


@pytest.mark.parametrize(("value", "port"), [(1, 1), (65535, 65535), ("8080", 8080), ("0080", 80)])
def test_ports_are_numbers(value: t.Any, port: int) -> None:
    assert values.port_number(value) == port


@pytest.mark.parametrize(
    "value", [0, 65536, -1, 99999, "99999", "1" * 5000, True, 80.5, "80 ", "8_0", "http", "", "\uff18\uff10"]
)
def test_what_is_no_port_is_refused(value: t.Any) -> None:
    assert "1 to 65535" in refused(values.port_number, value)
