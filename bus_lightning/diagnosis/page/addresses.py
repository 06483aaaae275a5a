"""Which addresses are the page's own: what a browser may name in Host, Origin and Referer."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from bus_lightning.core.errors import UserError

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_NETLOC = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.ASCII)
_HTTP = 80


class Addresses:
    """Tell the page's own addresses from others, so that no foreign name or site can reach it through a browser.

    The page's own addresses are: the address at which a connection arrives, `localhost` if this is a loopback address,
    this machine's name, `host` and `allowed`; each with the page's port, unless an entry of `allowed` names another
    one.

    Raises:
        UserError: When an entry of `allowed` is not a name or an address.
    """

    def __init__(self, host: str, port: int, allowed: Sequence[str] = ()) -> None:
        self.port = port
        machine = socket.gethostname().lower()
        # No name is looked up: a machine without a network would wait for the answer.
        names = {host.lower(), machine, machine.partition(".")[0], f"{machine.partition('.')[0]}.local"}
        self._names = names - {"", "0.0.0.0", "::"}
        self._allowed: set[tuple[str, int | None]] = set()
        for entry in allowed:
            parts = _split(entry.lower())
            if parts is None:
                raise UserError(f"--allow-host {entry} is not a name: give one like page.example.org, without http://.")
            # The port is left out of an address if it is the usual one, as it is behind a proxy.
            self._allowed |= {parts} if parts[1] is not None else {parts, (parts[0], port)}

    def is_own(self, netloc: str, arrived_at: str) -> bool:
        """Check a host with or without a port, as in a Host header; `arrived_at` is the connection's address here."""
        parts = _split(netloc)
        if parts is None:
            return False
        name, port = parts
        if (name, port) in self._allowed:
            return True
        if (_HTTP if port is None else port) != self.port:
            return False
        own = _address(arrived_at)
        if own is not None and own.is_loopback and name in _LOCAL_NAMES:
            return True
        return name in self._names or (own is not None and _address(name) == own)

    def is_own_site(self, url: str, arrived_at: str) -> bool:
        """Check an Origin or Referer."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and self.is_own(parts.netloc, arrived_at)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine's own, which no other machine can reach."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _split(netloc: str) -> tuple[str, int | None] | None:
    """Split a host and its port, if it has one; None for anything else."""
    matched = _NETLOC.fullmatch(netloc.lower())
    if matched is None:
        return None
    return matched[1].strip("[]"), None if matched[2] is None else int(matched[2])


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an address; an IPv4 address that is written as IPv6 becomes IPv4. None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
