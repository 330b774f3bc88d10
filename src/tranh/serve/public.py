"""The address that a server is known by to others, where a proxy with TLS stands before it.

Headers of proxies are not believed: whoever starts the server says it. It knows no application.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tranh.types import TranhError

PORTS = {"http": 80, "https": 443}


def read_public_url(text: str) -> str:
    """An address as browsers tell it in ``Origin``: in small letters, without the usual port, without a path.

    Raises:
        TranhError: it is none, or has more than scheme, host and port.
    """
    try:
        parts = urlsplit(text.strip())
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    except ValueError:
        scheme, host, port = "", "", None
    more = scheme and (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if scheme not in PORTS or not host or more or not host.isascii() or any(letter.isspace() for letter in host):
        raise TranhError(
            f"the public URL is {text[:200]!r}; allowed: http:// or https://, a host and, if need be, a port, such as "
            "https://pictures.example.org (the page needs a host of its own, so there can be no path)"
        )
    named = f"[{host}]" if ":" in host else host
    return f"{scheme}://{named}" + (f":{port}" if port not in (None, PORTS[scheme]) else "")
