"""A certificate for servers on loopback that no authority has signed."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import (
    CertificateBuilder,
    IPAddress,
    Name,
    NameAttribute,
    SubjectAlternativeName,
    random_serial_number,
)
from cryptography.x509.oid import NameOID

from .client import HOST


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Write a certificate and its key, which are good for a day. Return both files."""
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    name = Name([NameAttribute(NameOID.COMMON_NAME, HOST)])
    builder = CertificateBuilder(name, name, key.public_key(), random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    names = SubjectAlternativeName([IPAddress(ip_address(HOST))])
    certificate = builder.add_extension(names, critical=False).sign(key, SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = directory / "certificate.pem", directory / "key.pem"
    for file, content in zip(files, (certificate.public_bytes(Encoding.PEM), key_pem), strict=True):
        file.write_bytes(content)
    return files
