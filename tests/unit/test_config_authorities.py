from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from syncer.config import trusted_authorities
from syncer.errors import ConfigurationError
from tests.certificates import authority

if TYPE_CHECKING:
    from pathlib import Path


def subjects(context: ssl.SSLContext) -> list[object]:
    return [certificate["subject"] for certificate in context.get_ca_certs()]


def test_authorities_of_a_file_are_trusted_beside_the_systems(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    ours.file.write_bytes("# Autorität\n".encode() + ours.file.read_bytes())
    context = trusted_authorities(ours.file)
    assert len(context.get_ca_certs()) == len(trusted_authorities(None).get_ca_certs()) + 1
    assert any("trustme" in str(subject) for subject in subjects(context))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no certificates that can be read; write them as PEM"),
        (b"\xff\xfe", "holds no certificates that can be read; write them as PEM"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "holds no certificates that can be read; "),
    ],
)
def test_a_file_that_holds_none_is_a_finding(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        trusted_authorities(file)
    (finding,) = caught.value.findings
    assert finding.startswith(f"cloudflare.ca_file: {file} {reason}")


def test_a_key_in_place_of_a_certificate_is_not_told(tmp_path: Path) -> None:
    key = authority(tmp_path).for_host().private_key_pem.bytes()
    file = tmp_path / "key.pem"
    file.write_bytes(key)
    with pytest.raises(ConfigurationError) as caught:
        trusted_authorities(file)
    assert key.splitlines()[1].decode() not in str(caught.value)
