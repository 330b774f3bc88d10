"""Content Credentials: C2PA manifests that say a model made a picture, signed and read without a network.

It knows no watermark. Signatures (by ``c2pa-python``) are ES256, without thumbnails and without a time stamp of others:
nobody is asked. One by an authority among the anchors is ``trusted``, any other whole one ``valid``.
"""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import c2pa
from PIL import Image

from tranh import __version__
from tranh.recipes.marks import framing
from tranh.recipes.marks.keyring import Keys
from tranh.types import TranhError

MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
FILMS = {"GIF": "image/gif", "MP4": "video/mp4"}
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, COMPOSED = SOURCE + "trainedAlgorithmicMedia", SOURCE + "compositeWithTrainedAlgorithmicMedia"
"""IPTC's words for what a model made, and for what it made of somebody's picture."""

OFFLINE: dict[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
SIGNING = {**OFFLINE, "verify": {**OFFLINE["verify"], "verify_after_sign": False}}
"""As above, and what was just signed is not read again at once: that takes as long as signing."""
STATES = {"Trusted": "trusted", "Valid": "valid"}


@dataclass(frozen=True)
class Manifest:
    """What a manifest says, and whether it can be believed.

    Attributes:
        state: ``trusted``, ``valid`` (whole, by somebody unknown) or ``invalid``.
        problems: why it is not trusted, in C2PA's codes.
        issuer, signer: organisation and name in the signer's certificate.
        generator: the program that claims it; ``model`` the software agent of the first action.
        created: when, in RFC 3339, as the signer says.
        actions: in order, such as ``c2pa.created``.
        source_type: the IPTC digital source type of the last action that has one.
        ingredients: pictures it was made from, as (title, state of their own manifest or None).
    """

    state: str
    problems: tuple[str, ...] = ()
    issuer: str | None = None
    signer: str | None = None
    generator: str | None = None
    model: str | None = None
    created: str | None = None
    actions: tuple[str, ...] = ()
    source_type: str | None = None
    ingredients: tuple[tuple[str, str | None], ...] = ()


def signed(
    data: bytes,
    kind: str,
    keys: Keys,
    *,
    model: str,
    created: datetime.datetime,
    opened: Sequence[bytes] = (),
    watermarked: bool = False,
) -> bytes:
    """The file with a manifest in it; its pixels and texts stay as they are.

    Args:
        kind: ``PNG``, ``JPEG``, ``WEBP``, ``GIF`` or ``MP4``.
        model: who made the picture.
        opened: files it was made from: the picture that was edited first, then what it was told to look at. Manifests
            of theirs are kept.
        watermarked: tell that a watermark is in the pixels.

    Raises:
        TranhError: the keys sign no more.
    """
    agent, when = {"name": model}, created.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    mime = (MIMES | FILMS)[kind]
    names = [f"opened-{k}" for k in range(len(opened))]
    actions: list[dict[str, Any]]
    if opened:
        actions = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": names[:1]}},
            {"action": "c2pa.edited", "digitalSourceType": COMPOSED, "softwareAgent": agent, "when": when},
        ]
        if names[1:]:
            actions[1]["parameters"] = {"ingredientIds": names[1:]}
    else:
        actions = [{"action": "c2pa.created", "digitalSourceType": MADE, "softwareAgent": agent, "when": when}]
    if watermarked:
        actions.append({"action": "c2pa.watermarked.unbound"})
    claim = {
        "claim_generator_info": [{"name": "Tranh", "version": __version__}],
        "format": mime,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    out = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo("es256", keys.chain.encode(), keys.private.encode(), None)
        with _context(keys.anchors, SIGNING) as context, c2pa.Builder(claim, context) as builder:
            for k, (name, file) in enumerate(zip(names, opened, strict=True)):
                told = {"relationship": "inputTo" if k else "parentOf", "label": name, "title": f"picture {k + 1}"}
                content, its_mime = _known(file)
                builder.add_ingredient(told, its_mime, io.BytesIO(content))
            with c2pa.Signer.from_info(info) as signer:
                builder.sign(signer, mime, io.BytesIO(data), out)
    except c2pa.C2paError as error:
        raise TranhError(
            f"the keys in {keys.folder} cannot sign ({error}): move the folder away, and new ones are made"
        ) from error
    return out.getvalue()


def read(data: bytes, mime: str, keys: Keys | None) -> Manifest | None:
    """The manifest of a file, or None where there is none.

    What cannot be made sense of is an ``invalid`` manifest, never an error: who tampers must not gain a crash.

    Args:
        keys: whose authorities are trusted.
    """
    try:
        with (
            _context(keys.anchors if keys else None) as context,
            c2pa.Reader(mime, io.BytesIO(data), context=context) as reader,
        ):
            told: dict[str, Any] = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Manifest("invalid", ("manifest.unreachable",)) if seems_signed(data) else None
    except c2pa.C2paError as error:
        return Manifest("invalid", (str(error).split(":")[0],))
    manifest = _manifest(told)
    if manifest.state == "trusted" and manifest.generator == "Tranh" and mime in MIMES.values():
        store = framing.manifest(data)
        if store is None or not framing.is_canonical(store):
            return Manifest("invalid", ("manifest.framing",))
    return manifest


def seems_signed(data: bytes) -> bool:
    """Whether a manifest is among the bytes, by the names in it, though its place in the file may be damaged."""
    return b"jumb" in data and b"c2pa.signature" in data


def _context(anchors: str | None, settings: Mapping[str, Any] = OFFLINE) -> c2pa.Context:
    trust = {"trust": {"trust_anchors": anchors}} if anchors else {}
    return c2pa.Context.from_dict({**settings, **trust})


def _known(file: bytes) -> tuple[bytes, str]:
    """A picture's file and its type; one of a kind that holds no manifests as PNG."""
    with Image.open(io.BytesIO(file)) as image:
        mime = Image.MIME.get(str(image.format), "")
        if mime in c2pa.Builder.get_supported_mime_types():
            return file, mime
        out = io.BytesIO()
        image.convert("RGB").save(out, "PNG")
    return out.getvalue(), "image/png"


def _manifest(told: Mapping[str, Any]) -> Manifest:
    """The active manifest of a reader's report."""
    active = told.get("manifests", {}).get(told.get("active_manifest"), {})
    failed = told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    signature, actions = active.get("signature_info", {}), _actions(active)
    agents = [_name(action.get("softwareAgent")) for action in actions]
    sources = [action["digitalSourceType"] for action in actions if action.get("digitalSourceType")]
    times = [action["when"] for action in actions if action.get("when")]
    return Manifest(
        state=STATES.get(told.get("validation_state", ""), "invalid"),
        problems=tuple(dict.fromkeys(str(one.get("code")) for one in failed)),
        issuer=signature.get("issuer"),
        signer=signature.get("common_name"),
        generator=next((_name(one) for one in active.get("claim_generator_info", [])), None),
        model=next(filter(None, agents), None),
        created=next(iter(times), signature.get("time")),
        actions=tuple(str(action.get("action")) for action in actions),
        source_type=sources[-1] if sources else None,
        ingredients=tuple(_ingredient(one) for one in active.get("ingredients", [])),
    )


def _actions(active: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    said = [one for one in active.get("assertions", []) if str(one.get("label")).startswith("c2pa.actions")]
    return [action for one in said for action in one.get("data", {}).get("actions", [])]


def _name(agent: Any) -> str | None:
    """A software agent is a name, or a mapping with one."""
    name = agent.get("name") if isinstance(agent, Mapping) else agent
    return str(name) if name else None


def _ingredient(one: Mapping[str, Any]) -> tuple[str, str | None]:
    results = one.get("validation_results", {}).get("activeManifest")
    if results is None:
        return str(one.get("title")), None
    failed = {str(fault.get("code")) for fault in results.get("failure", [])}
    trusted = any(str(hit.get("code")) == "signingCredential.trusted" for hit in results.get("success", []))
    unknown = {"signingCredential.untrusted"}
    return str(one.get("title")), "invalid" if failed - unknown else "trusted" if trusted else "valid"
