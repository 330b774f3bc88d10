"""Words that only this server can have written: links that work for a while, and sessions of browsers.

It knows neither what is linked nor who holds a session.
"""

from __future__ import annotations

import base64
import hmac


def same(given: str, secret: str) -> bool:
    """Compared in a time that does not say where they differ; ``given`` may be any string, even half a character."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode("utf-8", "replace"))


class Signer:
    """Signs and checks.

    Args:
        secret: what was signed before a restart is good after it if this is the same.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, purpose: str, *parts: str) -> str:
        """A signature of some words for one purpose, 43 letters that fit into a URL."""
        told = "\0".join((purpose, *parts)).encode("utf-8", "replace")
        return base64.urlsafe_b64encode(hmac.digest(self._secret, told, "sha256")).decode().rstrip("=")

    def good(self, signature: str, purpose: str, *parts: str) -> bool:
        """Was it signed here, for this purpose?"""
        return same(signature, self.sign(purpose, *parts))
