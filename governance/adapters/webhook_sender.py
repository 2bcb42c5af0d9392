"""Messages over HTTPS to places outside (:class:`governance.ports.Sender`), and to none inside that was not allowed.

Whoever may register a URL could otherwise make this machine ask its own network (server-side request forgery). Therefore:

1. Only ``https``; ``http`` to an allowed network alone. No user name in the URL.
2. The name is resolved here, every address it has must be public or allowed, and the connection goes to an address that was looked at:
   a name that changes its answer between the look and the connection gains nothing. TLS still verifies the certificate for the name.
3. No redirect is followed, no proxy and no ``.netrc`` of the environment is used, and nothing of the answer but its status is read.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from governance.model import Sent
from lineage.errors import BadInput

if TYPE_CHECKING:
    import httpx2

__all__ = ["WebhookSender", "networks"]

_CONNECT: Final = 5.0
_ANSWER: Final = 15.0
"""Seconds that a receiver may take: the least that Standard Webhooks recommends."""
_HINT: Final = "a place inside is allowed by GOVERN_WEBHOOK_NETWORKS (10.1.0.0/16, …) where the server runs"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]


def networks(text: str) -> tuple[Network, ...]:
    """The networks of ``GOVERN_WEBHOOK_NETWORKS``, comma-separated.

    Raises:
        BadInput: one is no network.

    >>> [str(one) for one in networks("127.0.0.0/8, ::1/128")]
    ['127.0.0.0/8', '::1/128']
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError:
            raise BadInput(
                f"GOVERN_WEBHOOK_NETWORKS: {part[:60]!r} is no network", hint="write networks as 10.1.0.0/16, separated by commas"
            ) from None
    return tuple(found)


class WebhookSender:
    """Sends with httpx2.

    Args:
        allowed: networks inside that may be sent to.
        trust: whose certificates are trusted; the usual ones without it.
        resolve: (host, port) → its addresses; the system's resolver without it.
    """

    def __init__(self, allowed: Sequence[Network] = (), *, trust: ssl.SSLContext | None = None, resolve: Resolve | None = None) -> None:
        self._allowed = tuple(allowed)
        self._trust = trust
        self._resolve = resolve or _resolved
        self._clients: httpx2.Client | None = None

    def check(self, url: str) -> None:
        """Raises :class:`BadInput` when nothing would be sent to the URL, as far as its name can be resolved now."""
        self._place(_split(url))

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
        """One attempt, over within some twenty seconds."""
        import httpx2  # a home that sends nothing need not read it

        try:
            parts = _split(url)
            address = self._place(parts)
        except BadInput as error:
            return Sent(status=None, fault=error.message)
        host = parts.hostname or ""
        literal = f"[{address}]" if address.version == 6 else str(address)
        netloc = literal if parts.port is None else f"{literal}:{parts.port}"
        try:
            request = self._client().build_request(
                "POST",
                parts._replace(netloc=netloc).geturl(),
                content=body,
                headers={**headers, "host": parts.netloc},
                extensions={"sni_hostname": host},
            )
            response = self._client().send(request, stream=True)
        except httpx2.TimeoutException:
            return Sent(status=None, fault="it did not answer in time")
        except httpx2.TransportError as error:
            return Sent(status=None, fault=_fault(error))
        response.close()
        status = response.status_code
        if 200 <= status < 300:
            return Sent(status=status)
        more = " (redirects are not followed)" if 300 <= status < 400 else ""
        return Sent(status=status, fault=f"it answered {status}{more}", retry_after=_retry_after(response.headers.get("retry-after", "")))

    def close(self) -> None:
        """Let go of the connections."""
        if self._clients is not None:
            self._clients.close()

    def _client(self) -> httpx2.Client:
        if self._clients is None:
            import httpx2

            timeout = httpx2.Timeout(_ANSWER, connect=_CONNECT)
            limits = httpx2.Limits(max_keepalive_connections=0)  # the next attempt looks at the addresses again
            self._clients = httpx2.Client(
                verify=self._trust if self._trust is not None else True,
                timeout=timeout,
                limits=limits,
                trust_env=False,
                follow_redirects=False,
            )
        return self._clients

    def _place(self, parts: SplitResult) -> Address:
        """The address to connect to, once every address of the host was looked at."""
        host = parts.hostname or ""
        try:
            found = self._resolve(host, parts.port or (443 if parts.scheme == "https" else 80))
        except OSError:
            raise BadInput(f"the host {host[:100]} has no address now", hint="check the name, or try again") from None
        if not found:
            raise BadInput(f"the host {host[:100]} has no address now", hint="check the name, or try again")
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        inside = [address for address in addresses if not self._is_allowed(address)]
        for address in inside:
            if not _public(address):
                raise BadInput(f"the host {host[:100]} leads inside, to {address}: nothing is sent there", hint=_HINT)
        if parts.scheme != "https" and inside:
            raise BadInput("messages go over https", hint=f"register https://…; {_HINT}")
        return addresses[0]

    def _is_allowed(self, address: Address) -> bool:
        return any(address in network for network in self._allowed if network.version == address.version)


def _split(url: str) -> SplitResult:
    hint = "for example https://hooks.example.com/govern"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadInput("this is no URL", hint=hint) from None
    if parts.scheme not in ("https", "http") or not parts.hostname or any(ord(c) <= 32 or ord(c) == 127 for c in url) or port == 0:
        raise BadInput("a message goes to an https URL with a host", hint=hint)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadInput("the URL holds a user name, a password or a fragment", hint="the signature says who sends; " + hint)
    return parts


def _public(address: Address) -> bool:
    """Whether an address is somewhere on the Internet; IPv4 inside IPv6 is looked at as what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return _public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def _resolved(host: str, port: int) -> Sequence[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except UnicodeError:  # a label longer than a name may have
        raise OSError("no such name") from None


def _fault(error: Exception) -> str:
    """The kind of failure; the library's words may quote what the other side sent."""
    if type(error).__name__ == "ConnectError":
        return "its certificate is not trusted for this name" if "CERTIFICATE_VERIFY" in str(error) else "no connection can be made"
    return "the connection broke"


def _retry_after(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
