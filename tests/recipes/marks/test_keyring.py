from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tranh.recipes.marks.keyring import SECRET, keys, known_keys, place
from tranh.types import TranhError


def test_keys_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    made = keys(tmp_path / "below" / "keys")
    assert keys(made.folder) == made and len(made.mark) == 32
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.folder.iterdir()} == {0o600}
    assert os.listdir(tmp_path / "below") == ["keys"]
    assert "PRIVATE" not in repr(made) and made.mark.hex() not in repr(made)


def test_two_installations_differ(tmp_path: Path) -> None:
    one, other = keys(tmp_path / "a"), keys(tmp_path / "b")
    assert one.mark != other.mark and one.private != other.private


def test_the_certificates_are_what_c2pa_asks_for(tmp_path: Path) -> None:
    signer, authority = x509.load_pem_x509_certificates(keys(tmp_path / "keys").chain.encode())
    signer.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    used = signer.extensions.get_extension_for_class(x509.KeyUsage)
    assert used.critical and used.value.digital_signature and not used.value.key_cert_sign
    purpose = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purpose) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert authority.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_who_looks_makes_no_keys(tmp_path: Path) -> None:
    assert known_keys(tmp_path / "keys") is None and not list(tmp_path.iterdir())
    made = keys(tmp_path / "keys")
    assert known_keys(tmp_path / "keys") == made


def test_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANH_KEYS", str(tmp_path / "named"))
    assert place() == tmp_path / "named" and place(tmp_path) == tmp_path
    monkeypatch.delenv("TRANH_KEYS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert place() == tmp_path / "tranh" / "keys"


@pytest.mark.parametrize("name", SECRET)
def test_secrets_that_others_may_read_are_refused(tmp_path: Path, name: str) -> None:
    made = keys(tmp_path / "keys")
    (made.folder / name).chmod(0o640)
    with pytest.raises(TranhError, match=f"mode 640.*chmod 600 .*{name}"):
        keys(made.folder)


def test_a_folder_that_is_not_whole_is_told(tmp_path: Path) -> None:
    made = keys(tmp_path / "keys")
    (made.folder / "watermark.key").write_text("not hex")
    with pytest.raises(TranhError, match="cannot be read"):
        keys(made.folder)
    (made.folder / "watermark.key").write_text("00ff")
    with pytest.raises(TranhError, match="holds 2 bytes"):
        keys(made.folder)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TranhError, match="TRANH_KEYS=FOLDER"):
        keys(tmp_path / "file" / "keys")


def test_many_that_begin_at_once_end_with_one_pair(tmp_path: Path) -> None:
    begin = Barrier(8)

    def first(_: int) -> str:
        begin.wait()
        return keys(tmp_path / "keys").private

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first, range(8)))) == 1
    assert os.listdir(tmp_path) == ["keys"]


def test_authorities_of_others_can_be_trusted(tmp_path: Path) -> None:
    own, other = keys(tmp_path / "own"), keys(tmp_path / "other")
    (own.folder / "trusted").mkdir()
    (own.folder / "trusted" / "other.pem").write_text((other.folder / "authority.pem").read_text())
    assert keys(own.folder).anchors.count("BEGIN CERTIFICATE") == 2
