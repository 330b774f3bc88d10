"""The keys of an installation: what signs its pictures, and the secret of its watermark. Made once, when first needed.

It does not know what is signed. The folder is the one given, ``$TRANH_KEYS`` or ``~/.local/share/tranh/keys``. It holds
``authority.pem`` (a certificate authority of its own, whose private key is forgotten once it has signed),
``signer.pem`` and ``signer.key`` (ES256), ``watermark.key``, and may hold ``trusted/*.pem``, authorities of others.
"""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tranh.files import sync_folder, users_folder
from tranh.types import TranhError

AUTHORITY, SIGNER, SIGNER_KEY, WATERMARK_KEY = "authority.pem", "signer.pem", "signer.key", "watermark.key"
SECRET = (SIGNER_KEY, WATERMARK_KEY)
TRUSTED = "trusted"
MARK_BYTES = 32
LIFE = datetime.timedelta(days=365 * 20)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Keys:
    """What an installation signs and marks with.

    Attributes:
        folder: where they lie.
        chain: certificates in PEM: the signer's, then its authority's.
        private: the signer's private key in PEM.
        mark: 32 bytes that the watermark's pattern is drawn from.
        anchors: certificates in PEM of all authorities whose signatures are trusted, the own one first.
    """

    folder: Path
    chain: str
    private: str = field(repr=False)
    mark: bytes = field(repr=False)
    anchors: str


def place(folder: Path | None = None) -> Path:
    """Where the keys lie: the folder given, ``$TRANH_KEYS``, or one beside the other data of the user."""
    return users_folder("keys", "TRANH_KEYS", folder)


def keys(folder: Path | None = None) -> Keys:
    """The keys of this installation; made if there are none. Two that make them at once end with the same ones.

    Raises:
        TranhError: the folder cannot be written, is not whole, or others may read its secrets.
    """
    at = place(folder)
    if not (at / SIGNER_KEY).exists():
        _make(at)
    return _read(at)


def known_keys(folder: Path | None = None) -> Keys | None:
    """The keys of this installation if it has any: who only looks makes none."""
    at = place(folder)
    return _read(at) if (at / SIGNER_KEY).exists() else None


def _read(at: Path) -> Keys:
    try:
        for name in SECRET:
            mode = (at / name).stat().st_mode
            if os.name == "posix" and mode & 0o077:
                raise TranhError(f"{at / name} can be read by others (mode {mode & 0o777:o}): chmod 600 {at / name}")
        chain, private = (at / SIGNER).read_text("ascii"), (at / SIGNER_KEY).read_text("ascii")
        mark = bytes.fromhex((at / WATERMARK_KEY).read_text("ascii"))
        anchors = [at / AUTHORITY, *sorted((at / TRUSTED).glob("*.pem"))]
        trusted = "".join(path.read_text("ascii").rstrip() + "\n" for path in anchors)
    except (OSError, ValueError) as error:
        raise TranhError(
            f"the keys in {at} cannot be read ({error}): restore them from a copy, or move the folder away and new "
            "ones are made; pictures of before are then no longer told by their watermark"
        ) from error
    if len(mark) != MARK_BYTES:
        raise TranhError(f"{at / WATERMARK_KEY} holds {len(mark)} bytes in hex; it must be {MARK_BYTES}")
    return Keys(at, chain, private, mark, trusted)


def _make(at: Path) -> None:
    """All files in a folder beside, which then takes the name: whoever comes second finds the name taken."""
    being_made = at.with_name(f".{at.name}.{secrets.token_hex(8)}")
    try:
        at.parent.mkdir(parents=True, exist_ok=True)
        being_made.mkdir(mode=0o700)
        for name, content in _new().items():
            handle = os.open(being_made / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(being_made)
        try:
            being_made.rename(at)
        except OSError:
            if not (at / SIGNER_KEY).exists():
                raise
        sync_folder(at.parent)
    except OSError as error:
        raise TranhError(
            f"keys to sign pictures with cannot be made in {at} ({error.strerror}): name a folder that can be written, "
            "TRANH_KEYS=FOLDER"
        ) from error
    finally:
        shutil.rmtree(being_made, ignore_errors=True)


def _new() -> dict[str, str]:
    """The files of new keys, by name."""
    who = secrets.token_hex(4)
    authority_key, signer_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(f"Tranh authority {who}", authority_key, f"Tranh authority {who}", authority_key)
    signer = _certificate(f"Tranh installation {who}", signer_key, f"Tranh authority {who}", authority_key)
    private = signer_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        AUTHORITY: authority,
        SIGNER: signer + authority,
        WATERMARK_KEY: secrets.token_hex(MARK_BYTES) + "\n",
        SIGNER_KEY: private.decode(),
    }


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> str:
    """A certificate as C2PA asks for it (C2PA 2.2, 14.5): an authority signs certificates only, a signer data only."""
    itself = key is issuer_key
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    built = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)  # clocks differ
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=itself, path_length=0 if itself else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not itself, key_cert_sign=itself, crl_sign=itself, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not itself:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        built = built.add_extension(purpose, critical=False)
    return built.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM).decode()


def _named(name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tranh, keys of one installation")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])
