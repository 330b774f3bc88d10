"""JSON that nobody means: nested deeper than any request is, or in more pieces.

It looks at bytes as they come, before anything is read, so that no reader climbs down a hundred thousand brackets. It
does not know whether they are JSON at all.
"""

from __future__ import annotations

import re

from tranh.serve.orders import Refused

DEEPEST = 32
MOST_PIECES = 100_000
"""Lists and objects of one body."""

TOKENS = re.compile(rb'\\.|"|[\[{]|[\]}]', re.DOTALL)


class Nesting:
    """How deep the JSON is that has come so far."""

    def __init__(self) -> None:
        self._pieces = self._depth = 0
        self._quoted = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes.

        Raises:
            Refused: that is too deep, or too much.
        """
        self._pieces += data.count(b"[") + data.count(b"{")
        if self._pieces > MOST_PIECES:
            raise Refused(f"the body has more than {MOST_PIECES} lists and objects", code="invalid_json")
        data = self._rest + data
        cut = (len(data) - len(data.rstrip(b"\\"))) % 2  # an escape whose letter is still to come
        self._rest, data = data[len(data) - cut :], data[: len(data) - cut]
        for token in TOKENS.finditer(data):
            self._take(token[0])

    def _take(self, token: bytes) -> None:
        if token == b'"':
            self._quoted = not self._quoted
        elif self._quoted or token.startswith(b"\\"):
            return
        elif token in b"[{":
            self._depth += 1
            if self._depth > DEEPEST:
                raise Refused(f"the body is nested more than {DEEPEST} deep", code="invalid_json")
        else:
            self._depth -= 1
