"""ProxySettings: the proxies that the user chose, or those that the environment names.

The environment is read once, by the convention that curl and others follow.

`http_proxy`, `https_proxy` and `all_proxy` name proxies, `no_proxy` the hosts that need none; each in lower or upper
case, the lower case first. httpx and httpx2 do not read them themselves: they refuse networks and brackets in
`no_proxy`, and one bad variable keeps them from being made at all.

Requests to this machine never go to a proxy, whatever the environment says: the proxy would learn their tokens.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from app.core.errors import Facts, ProxyUnusable
from app.core.preferences import ADDRESS, NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Network

    from app.core.preferences import ProxyChoice

PORTS = {"http": 80, "https": 443}
SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
# GNOME's settings write `socks://`.
ALIASES = {"socks": "socks5"}
NAMES = ("http_proxy", "https_proxy", "all_proxy")
# What urllib calls the proxies of the system's settings.
SYSTEM_NAMES = {"http": "http_proxy", "https": "https_proxy", "socks": "all_proxy"}
HIGHEST_PORT = 65535
# What an error calls the address that the user typed.
OF_THE_SETTINGS = "the settings"


class Variable(NamedTuple):
    """A variable by the name that it has in the environment."""

    name: str
    value: str


class Exclusion(NamedTuple):
    """An entry of `no_proxy`: a name with all names below it, an address or a network. `port` None: every port."""

    name: str
    network: IPv4Network | IPv6Network | None
    port: int | None


@dataclass(frozen=True)
class ProxySettings:
    """The proxies by `http_proxy`, `https_proxy` and `all_proxy`, and the hosts that need none.

    `bypassed` says so for hosts of the system's own settings.
    """

    proxies: Mapping[str, Variable] = field(default_factory=dict)
    exclusions: tuple[Exclusion, ...] = ()
    every_host_excluded: bool = False
    bypassed: Callable[[str], bool] | None = None

    @staticmethod
    def of_environment(environment: Mapping[str, str] | None = None) -> ProxySettings:
        """The settings of `environment`, by default of this process.

        Where it names no proxy, macOS and Windows have settings of the system.
        """
        environment = os.environ if environment is None else environment
        found = {name: variable for name in NAMES if (variable := _variable(environment, name)) is not None}
        excluded = _variable(environment, "no_proxy")
        # Also a line break separates: values come from files.
        entries = excluded.value.replace(",", " ").split() if excluded is not None else []
        bypassed = None
        if not found and sys.platform in {"darwin", "win32"}:
            found, bypassed = _system_proxies()
        return ProxySettings(
            found, tuple(filter(None, map(_exclusion, entries))), every_host_excluded="*" in entries, bypassed=bypassed
        )

    @staticmethod
    def chosen(choice: ProxyChoice) -> ProxySettings:
        """The settings for what the user chose."""
        if choice.mode == NONE:
            return ProxySettings()
        environment = ProxySettings.of_environment()
        if choice.mode != ADDRESS:
            return environment
        # The hosts that the environment excepts are those of the network that this computer is in.
        found = {"all_proxy": Variable(OF_THE_SETTINGS, choice.address)}
        return ProxySettings(found, environment.exclusions, every_host_excluded=environment.every_host_excluded)

    def proxy_for(self, scheme: str, host: str, port: int | None = None) -> str | None:
        """The URL of the proxy for requests to a host; None for none. An IPv6 address may have brackets.

        Raises `ProxyUnusable`, which names the variable, when the proxy that this host needs is none.
        """
        host = host.strip("[]").rstrip(".").lower()
        variable = self.proxies.get(f"{scheme}_proxy") or self.proxies.get("all_proxy")
        if variable is None or is_this_machine(host) or self._excludes(host, port or PORTS.get(scheme)):
            return None
        return _checked(variable)

    def _excludes(self, host: str, port: int | None) -> bool:
        if self.every_host_excluded:
            return True
        address = _address(host)
        for entry in self.exclusions:
            if entry.port is not None and entry.port != port:
                continue
            if entry.network is not None:
                if address is not None and address.version == entry.network.version and address in entry.network:
                    return True
            elif host == entry.name or host.endswith(f".{entry.name}"):
                return True
        return self.bypassed is not None and self.bypassed(host)


def check_address(address: str) -> str:
    """The address of a proxy in the form that is kept. Raises `ProxyUnusable`.

    A name or password in it is refused: the settings are no place for a secret.
    """
    checked = _checked(Variable(OF_THE_SETTINGS, address.strip()))
    if "@" in urlsplit(checked).netloc:
        raise _unusable(Variable(OF_THE_SETTINGS, ""), "it has a name or a password, which would be stored openly")
    return checked


def is_this_machine(host: str) -> bool:
    """Whether a host name or address leads to this machine, in any spelling that the system's resolver takes."""
    # RFC 6761 section 6.3: `localhost` and every name below it.
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if address is None:
        try:
            # 127.1 and 2130706433 are addresses too.
            address = ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    return address.is_loopback or address.is_unspecified


def _variable(environment: Mapping[str, str], name: str) -> Variable | None:
    # An empty variable in lower case takes back the one in upper case.
    for spelled in (name, name.upper()):
        if spelled in environment:
            value = environment[spelled].strip()
            return Variable(spelled, value) if value else None
    return None


def _system_proxies() -> tuple[dict[str, Variable], Callable[[str], bool]]:
    from urllib.request import getproxies, proxy_bypass

    found = {
        SYSTEM_NAMES[scheme]: Variable("the system's proxy settings", value)
        for scheme, value in getproxies().items()
        if scheme in SYSTEM_NAMES
    }
    return found, lambda host: bool(proxy_bypass(host))


def _exclusion(entry: str) -> Exclusion | None:
    """An entry of `no_proxy`; None for one that means nothing, which excludes no host."""
    name, port = entry, None
    head, colon, tail = entry.rpartition(":")
    # The colons of an address without brackets are its own.
    if colon and tail.isdecimal() and (":" not in head or head.endswith("]")):
        name, port = head, int(tail[:6])
    try:
        return Exclusion("", ip_network(name.replace("[", "").replace("]", ""), strict=False), port)
    except ValueError:
        pass
    # `.example.com` and `*.example.com` mean what `example.com` means.
    name = name.removeprefix("*").strip(".").lower()
    try:
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return Exclusion(name, None, port) if name else None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` is; an IPv4 address also when it is spelled as an IPv6 address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _checked(variable: Variable) -> str:
    """The proxy's URL in a form that httpx takes. Raises `ProxyUnusable`."""
    text = variable.value if "://" in variable.value else f"http://{variable.value}"
    if not text.isprintable() or " " in text:
        raise _unusable(variable, "it has spaces, line breaks or characters that no address has")
    scheme, _, rest = text.partition("://")
    scheme = ALIASES.get(scheme.lower(), scheme.lower())
    if scheme not in SCHEMES:
        raise _unusable(variable, "it is neither an HTTP nor a SOCKS5 proxy")
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port
    except ValueError:
        raise _unusable(variable, f"its host is no host name, or its port no number up to {HIGHEST_PORT}") from None
    host = parts.hostname
    if not host:
        raise _unusable(variable, "it names no host")
    if ":" not in host:
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise _unusable(variable, "its host is no host name") from None
    else:
        host = f"[{host}]"
    user = parts.netloc.rpartition("@")[0]
    return f"{scheme}://{f'{user}@' if user else ''}{host}{'' if port is None else f':{port}'}"


def _unusable(variable: Variable, why: str) -> ProxyUnusable:
    # The value may hold a password.
    return ProxyUnusable(f"The proxy in {variable.name} cannot be used: {why}.", Facts(code="proxy"))
