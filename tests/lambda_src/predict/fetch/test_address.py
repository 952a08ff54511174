from ipaddress import IPv4Network, IPv6Network

import pytest

from lambda_src.predict.fetch import address
from lambda_src.predict.fetch.address import is_public

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.100.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:3::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd00::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "161.26.0.7",
    "166.9.12.227",
    "168.63.129.16",
    "199.36.153.4",
    "199.36.153.11",
    "100.100.100.200",
    "192.0.0.192",
    "fd20:ce::254",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "01.02.03.04",
    "1.1.1.1.",
    "1.1.1",
    "localhost",
    "8.8.8.8/32",
    "::ffff:999.1.1.1",
]

ALLOWED = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "52.95.110.1",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2600:1f18::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82b::200e",
    "2003::1",
    "2620:4f:8001::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "3ffe::1",
]


@pytest.mark.parametrize("text", [*FORBIDDEN, "", " ", "8.8.8.8 ", " 8.8.8.8"])
def test_forbidden_addresses_are_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("text", ALLOWED)
def test_ordinary_addresses_are_public(text: str) -> None:
    assert is_public(text)


SPECIAL: list[IPv4Network | IPv6Network] = [
    *address._IPV4_SPECIAL,
    *address._IPV4_CLOUD_INTERNAL,
    *address._IPV6_SPECIAL,
]


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_special_networks_are_forbidden_from_first_to_last_address(network: IPv4Network | IPv6Network) -> None:
    assert not is_public(str(network[0]))
    assert not is_public(str(network[-1]))


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_special_networks_reach_no_further_than_they_say(network: IPv4Network | IPv6Network) -> None:
    inside = {str(edge) for other in SPECIAL for edge in (other[0], other[-1])}
    below_ipv6 = "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    for neighbour in {str(network[0] - 1), str(network[-1] + 1)} - inside - {below_ipv6}:
        assert is_public(neighbour)
