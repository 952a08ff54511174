"""Which addresses the function may connect to: an allow-list of the public internet."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

_IPV4_UNICAST = (IPv4Address("1.0.0.0"), IPv4Address("223.255.255.255"))

_IPV4_SPECIAL = tuple(
    IPv4Network(network)
    for network in (
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared address space of carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local: instance metadata, Lambda's and ECS's own services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunneling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
    )
)

_IPV4_CLOUD_INTERNAL = tuple(
    IPv4Network(network)
    for network in (
        "161.26.0.0/16",  # IBM Cloud: services for instances
        "166.8.0.0/14",  # IBM Cloud: service endpoints
        "168.63.129.16/32",  # Azure: the platform's agent, DNS and DHCP
        "199.36.153.4/30",  # Google Cloud: restricted.googleapis.com
        "199.36.153.8/30",  # Google Cloud: private.googleapis.com
    )
)

_IPV6_UNICAST = IPv6Network("2000::/3")

_IPV6_SPECIAL = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID, AMT, AS112, DRIP
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Tell whether ``address`` is a global unicast address with no special purpose.

    An allow-list, so that an address of an unforeseen kind is refused: IPv4 from 1.0.0.0 to 223.255.255.255 and IPv6
    within 2000::/3, each without the blocks of IANA's special-purpose registries, also those that are
    globally reachable (no web server belongs there). The forms that hide an IPv4 address in IPv6 (mapped,
    compatible, NAT64) lie outside 2000::/3; 6to4 and Teredo are listed. An address with a zone is link local
    by meaning and refused. Addresses that clouds reach inside only are refused, although their numbers are public.

    Notes
    -----
    Registries, in the state of 2025-10-09:
    https://www.iana.org/assignments/iana-ipv4-special-registry,
    https://www.iana.org/assignments/iana-ipv6-special-registry,
    https://www.iana.org/assignments/ipv4-address-space,
    https://www.iana.org/assignments/ipv6-address-space.

    Clouds: https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16,
    https://cloud.google.com/vpc/docs/configure-private-google-access,
    https://cloud.ibm.com/docs/vpc?topic=vpc-service-endpoints-for-vpc. Those of the others are special networks.
    """
    try:
        ipv4 = IPv4Address(address)
    except AddressValueError:
        pass
    else:
        first, last = _IPV4_UNICAST
        return first <= ipv4 <= last and not any(ipv4 in n for n in (*_IPV4_SPECIAL, *_IPV4_CLOUD_INTERNAL))
    try:
        ipv6 = IPv6Address(address)
    except AddressValueError:
        return False
    return ipv6.scope_id is None and ipv6 in _IPV6_UNICAST and not any(ipv6 in network for network in _IPV6_SPECIAL)
