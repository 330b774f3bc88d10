"""Who asks: API keys, what each of them may do in a minute and in a day, and which paths need none.

It keeps hashes of secrets, never secrets, and knows no route.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tranh.serve.errors import answer
from tranh.serve.guard import App, Receive, Scope, Send
from tranh.serve.orders import Record, Refused
from tranh.serve.signed import Signer
from tranh.types import TranhError

SHORTEST = 16
"""Letters of a secret: shorter ones can be guessed."""

PER_MINUTE = 300
"""Requests that change something, of one key."""

OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/api/session")
OPEN_BELOW = ("/studio/", "/v1/images/files/")
"""What needs no key: the page, health, and links that carry a signature of their own."""

LOOKS = ("/api/prompt",)
"""What changes nothing though it is posted: the page asks it while somebody types."""

COOKIE, SESSION_SECONDS = "tranh_session", 30 * 86400
DAY = 86400.0

WRONG, WRONG_FROM = 30, 4096
"""Wrong keys that an address may send in a minute, and the addresses that are remembered for it."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Key:
    """An API key.

    Attributes:
        name: of its owner; whoever comes with another secret of the same name sees the same pictures.
        digest: SHA-256 of the secret.
        per_minute: requests that change something; per_day: pictures that may be ordered, None for any number.
    """

    name: str
    digest: bytes
    per_minute: int = PER_MINUTE
    per_day: int | None = None


def read_key(line: str) -> Key:
    """A key as people write it: ``[NAME:]SECRET [REQUESTS-A-MINUTE [PICTURES-A-DAY]]``.

    Raises:
        TranhError: it is too short, or cannot be read. The secret is not repeated.
    """
    words = line.split()
    named, _, secret = words[0].rpartition(":") if words else ("", "", "")
    if len(secret) < SHORTEST or len(words) > 3:
        raise TranhError(
            f"an API key is [NAME:]SECRET with a secret of {SHORTEST} letters or more, then, if wanted, its requests a "
            "minute and pictures a day. A good secret: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    digest = hashlib.sha256(secret.encode()).digest()
    name = named or f"key-{digest.hex()[:8]}"
    if not NAME.fullmatch(name):
        raise TranhError(f"the API key's name is {name[:80]!r}; allowed: 1 to 64 letters, digits, - and _")
    limits = words[1:]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 10**9 for word in limits):
        raise TranhError(f"the limits of the API key {name} are {' '.join(limits)!r}; allowed: whole numbers above 0")
    minute, day = [*map(int, limits), *(0, 0)][:2]
    return Key(name, digest, minute or PER_MINUTE, day or None)


def read_keys(given: Iterable[str] = (), environment: str = "", file: Path | None = None) -> tuple[Key, ...]:
    """Keys from the command line, from ``TRANH_API_KEYS`` (with commas), and from a file (one a line, # for remarks).

    Raises:
        TranhError: one cannot be read, or two are the same.
    """
    lines = [*given, *(word for word in environment.split(",") if word.strip())]
    if file is not None:
        try:
            written = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TranhError(f"the file of API keys, {file}, cannot be read: {error}") from error
        lines += [line for each in written if (line := each.partition("#")[0].strip())]
    keys = tuple(read_key(line) for line in lines)
    if len({key.digest for key in keys}) < len(keys):
        raise TranhError("an API key is given twice: leave one out")
    return keys


class Bucket:
    """Tokens that come back with time.

    Args:
        most: that it holds, and that come back in a minute.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.clock = most, clock
        self._left, self._at = float(most), clock()
        self._lock = threading.Lock()

    def take(self) -> tuple[bool, int, float]:
        """Take a token: whether there was one, how many are left, and seconds until the next one (or until all)."""
        with self._lock:
            rate = self._fill()
            if self._left < 1:
                return False, 0, (1 - self._left) / rate
            self._left -= 1
            return True, int(self._left), (self.most - self._left) / rate

    def wait(self) -> float:
        """Seconds until there is a token; none is taken."""
        with self._lock:
            rate = self._fill()
            return max(0.0, 1 - self._left) / rate

    def _fill(self) -> float:
        """What came back meanwhile; gives tokens a second."""
        now, rate = self.clock(), self.most / 60
        self._left = min(self.most, self._left + rate * max(0.0, now - self._at))
        self._at = now
        return rate


@dataclass
class Used:
    """What a key has ordered on a day (days since 1970, UTC)."""

    day: int
    pictures: int


@dataclass(frozen=True)
class Caller:
    """Who asks. ``owner`` names the key, "" where none is needed: jobs and pictures are theirs alone."""

    owner: str = ""
    pay: Callable[[int], None] = field(default=lambda pictures: None, compare=False)

    def orders(self, pictures: int, submit: Callable[[], Record]) -> Record:
        """Pay, and let an order go to the desk; one that is refused, or stood there before, costs nothing.

        Args:
            pictures: see :func:`tranh.serve.sources.pictures_of`.

        Raises:
            Refused: so many would be more than the key has left today.
        """
        begun = time.time()
        self.pay(pictures)
        try:
            record = submit()
        except BaseException:
            self.pay(-pictures)
            raise
        if record.created_at < begun:
            self.pay(-pictures)
        return record


class Keys:
    """All keys of a server; with none of them, everybody is let in (on a loopback address).

    Args:
        keys: of the same name share pictures, rate and quota.
        ordered: pictures an owner has ordered since a time (unix seconds): a restart forgets no quota.
        clock: unix seconds.
    """

    def __init__(
        self,
        keys: Iterable[Key] = (),
        signer: Signer | None = None,
        ordered: Callable[[str, float], int] = lambda owner, since: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys, self.signer = tuple(keys), signer or Signer(b"")
        self.ordered, self.clock = ordered, clock
        self.by_name: Mapping[str, Key] = {key.name: key for key in reversed(self.keys)}
        self._buckets = {name: Bucket(key.per_minute) for name, key in self.by_name.items()}
        self._used: dict[str, Used] = {}
        self._wrong: OrderedDict[str, Bucket] = OrderedDict()  # by address, the one that was wrong last at the end
        self._lock = threading.Lock()

    def whose(self, secret: str) -> Key | None:
        """The key of a secret. Every one is compared, whichever is right."""
        digest, found = hashlib.sha256(secret.encode("utf-8", "replace")).digest(), None
        for key in self.keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def session(self, key: Key) -> str:
        """What a browser keeps in the place of the key, for 30 days."""
        until = str(int(self.clock() + SESSION_SECONDS))
        return f"{key.name}.{until}.{self.signer.sign('session', key.name, until, key.digest.hex())}"

    def of_session(self, word: str) -> Key | None:
        """The key a browser once told, unless it was taken away meanwhile."""
        name, _, rest = word.partition(".")
        until, _, signature = rest.partition(".")
        fresh = until.isascii() and until.isdigit() and len(until) < 20 and int(until) > self.clock()
        for key in self.keys:
            if fresh and key.name == name and self.signer.good(signature, "session", name, until, key.digest.hex()):
                return key
        return None

    def enter(self, headers: Mapping[str, str], host: str = "") -> Key:
        """The key that a request comes with: as a bearer's, as a password (any user), or as a browser's session.

        Args:
            host: the address that asks.

        Raises:
            Refused: none, or a wrong one; which of both is not said. 429 where too many wrong ones came from there.
        """
        given = "authorization" in headers or bool(_cookie(headers.get("cookie", "")))
        with self._lock:
            bucket = self._wrong.get(host)
        if given and bucket is not None and (seconds := bucket.wait()):
            raise Refused(
                f"too many wrong keys came from this address: try again in {math.ceil(seconds)} s",
                status=429,
                type="rate_limit_error",
                code="rate_limit_exceeded",
                retry_after=seconds,
            )
        scheme, _, word = headers.get("authorization", "").partition(" ")
        key = None
        if scheme.lower() == "bearer":
            key = self.whose(word.strip())
        elif scheme.lower() == "basic":
            key = self.whose(_password(word))
        elif not scheme and "cookie" in headers:
            key = self.of_session(_cookie(headers["cookie"]))
        if key is None:
            if given:
                self._was_wrong(host)
            raise Refused(
                "this server needs an API key: send it as `Authorization: Bearer KEY`",
                status=401,
                code="invalid_api_key",
            )
        return key

    def _was_wrong(self, host: str) -> None:
        with self._lock:
            bucket = self._wrong.setdefault(host, Bucket(WRONG))
            self._wrong.move_to_end(host)
            if len(self._wrong) > WRONG_FROM:
                self._wrong.popitem(last=False)
        bucket.take()

    def caller(self, key: Key) -> Caller:
        """The caller with a key."""
        return Caller(key.name, lambda pictures: self._spend(key, pictures))

    def request(self, key: Key) -> tuple[Mapping[str, str], Refused | None]:
        """Count a request that changes something: headers that say what is left, and the refusal if that is nothing."""
        most = self.by_name[key.name].per_minute
        good, left, seconds = self._buckets[key.name].take()
        headers = {
            "x-ratelimit-limit-requests": str(most),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": f"{seconds:.3f}s",
        }
        if good:
            return headers, None
        return headers, Refused(
            f"this key may send {most} requests a minute: try again in {math.ceil(seconds)} s",
            status=429,
            type="rate_limit_error",
            code="rate_limit_exceeded",
            retry_after=seconds,
        )

    def _spend(self, key: Key, pictures: int) -> None:
        most = self.by_name[key.name].per_day
        if most is None:
            return
        now = self.clock()
        day = int(now // DAY)
        with self._lock:
            used = self._used.get(key.name)
            if used is None or used.day != day:
                used = self._used[key.name] = Used(day, self.ordered(key.name, day * DAY))
            if pictures > 0 and used.pictures + pictures > most:
                raise Refused(
                    f"this key may order {most} pictures a day and has ordered {used.pictures}; {pictures} more were "
                    "asked for. The day ends at midnight UTC",
                    status=429,
                    type="insufficient_quota",
                    code="insufficient_quota",
                    retry_after=(day + 1) * DAY - now,
                )
            used.pictures = max(0, used.pictures + pictures)  # less than none where a day ended in between


def _password(word: str) -> str:
    """The password of basic authentication; empty where it cannot be read."""
    try:
        return base64.b64decode(word.strip(), validate=True).decode("utf-8").partition(":")[2]
    except (ValueError, UnicodeDecodeError):
        return ""


def _cookie(header: str) -> str:
    try:
        cookie = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


class Entrance:
    """An ASGI application around another: nobody comes in without a key, before a byte of what they send is read.

    Who was let in stands in ``scope["state"]["caller"]``, see :func:`caller`.
    """

    def __init__(self, app: App, keys: Keys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["caller"] = Caller()
        path = scope["path"]
        if not self.keys.keys or path in OPEN or path.startswith(OPEN_BELOW):
            await self.app(scope, receive, send)
            return
        try:
            headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
            key = self.keys.enter(headers, (scope.get("client") or ("",))[0])
            if scope["method"] not in ("GET", "HEAD") and path not in LOOKS:
                told, refused = self.keys.request(key)
                state["reply_headers"] = dict(told)
                if refused is not None:
                    raise refused
        except Refused as error:
            await answer(error)(scope, receive, send)
            return
        state["caller"] = self.keys.caller(key)
        state["owner"] = key.name
        await self.app(scope, receive, send)


_bearer = HTTPBearer(auto_error=False, description="An API key. A server that only this machine can reach needs none.")


def caller(request: Request, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None) -> Caller:
    """Who asks (they were let in at the :class:`Entrance`)."""
    found: Caller = getattr(request.state, "caller", Caller())
    return found


From = Annotated[Caller, Depends(caller)]
"""Of a route: ``def route(..., by: From)``; then ``by.owner``, and ``by.orders(...)`` for an order."""
