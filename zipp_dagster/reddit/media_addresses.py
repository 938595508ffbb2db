"""Which urls and addresses an image may be fetched from: the guard against strangers' links.

A submission's link is a stranger's text. It may name only listed hosts, over https; the host must
resolve to public addresses only, and the connection goes to an address that was checked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Resolve = Callable[[str], Awaitable[list[str]]]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedError(ValueError):
    """A url or an address that is not asked; the message is the short reason that is counted."""


class RefusedForNowError(RefusedError):
    """A name that leads nowhere public at the moment: tomorrow it may lead elsewhere."""


@dataclass(frozen=True)
class AllowedHost:
    """A host that may be asked.

    Scheme, port and `loopback` exist for tests against a server on this machine; settings give
    names only.
    """

    name: str
    scheme: str = "https"
    port: int = 443
    loopback: bool = False


def is_public(address: str) -> bool:
    """Whether an IP address is a public unicast one, also behind an IPv6 form of an IPv4 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if "%" in address:
            return False
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        embedded = [ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            embedded.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(inner is not None and not is_public(str(inner)) for inner in embedded):
            return False
    return ip.is_global and not (
        ip.is_multicast
        or ip.is_private
        or ip.is_reserved
        or ip.is_loopback
        or ip.is_link_local
        or ip.is_unspecified
    )


async def system_resolve(host: str) -> list[str]:
    """All addresses of a host name by the system's resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Checks urls, and resolves hosts to addresses that may be connected to."""

    def __init__(self, hosts: Iterable[AllowedHost], resolve: Resolve = system_resolve) -> None:
        self._hosts = {host.name.lower(): host for host in hosts}
        self._resolve = resolve
        self._checked: dict[str, list[str]] = {}

    def host_of(self, url: str) -> AllowedHost:
        """The listed host of a url. Raises RefusedError: `bad_url`, `not_https`, `host_not_allowed`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise RefusedError("bad_url") from None
        name = (parts.hostname or "").lower().rstrip(".")
        host = self._hosts.get(name)
        if host is None:
            raise RefusedError("host_not_allowed" if name else "bad_url")
        if parts.username is not None or parts.password is not None:
            raise RefusedError("bad_url")
        if parts.scheme != host.scheme:
            raise RefusedError("not_https")
        if (port or {"http": 80, "https": 443}[host.scheme]) != host.port:
            raise RefusedError("host_not_allowed")
        return host

    async def addresses(self, name: str) -> list[str]:
        """The host's addresses, once resolved and checked; what a connection is made to.

        Raises RefusedError (`private_address`) if one of them is not public, RefusedForNowError where
        that is the resolver's answer and not the url's own address, OSError if there is none.
        """
        if name not in self._checked:
            host = self._hosts.get(name)
            if host is None:
                raise RefusedError("host_not_allowed")
            found = await self._resolve(name)
            if not all(is_public(a) or (host.loopback and _is_loopback(a)) for a in found):
                own = _is_address(name)
                raise (RefusedError if own else RefusedForNowError)("private_address")
            if not found:
                raise OSError(f"{name} has no address")
            self._checked[name] = found
        return self._checked[name]

    def connector(self, per_host: int, total: int) -> Any:
        """An aiohttp connector that connects to checked addresses and to nothing else."""
        import aiohttp
        from aiohttp.abc import AbstractResolver, ResolveResult

        guard = self

        class Checked(AbstractResolver):
            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
            ) -> list[ResolveResult]:
                return [
                    ResolveResult(
                        hostname=host,
                        host=address,
                        port=port,
                        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                        proto=0,
                        flags=socket.AI_NUMERICHOST,
                    )
                    for address in await guard.addresses(host.lower().rstrip("."))
                ]

            async def close(self) -> None:
                pass

        return aiohttp.TCPConnector(limit=total, limit_per_host=per_host, resolver=Checked())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
