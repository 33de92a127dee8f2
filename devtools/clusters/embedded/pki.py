"""Creates the keys and certificates of one embedded cluster: one key for each purpose, readable only by its owner.

The certificate authority's own key is never written: nothing is signed after the cluster was created.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADMINISTRATORS = "system:masters"  # the group with all rights in kube-apiserver
_YEARS = 10
_SLACK = dt.timedelta(days=1)  # allows for clock skew


def create(directory: Path, *, server_names: Iterable[str], kubelet_names: Iterable[str]) -> None:
    """Write every key and certificate of a cluster into a new directory; raises OSError.

    - `ca.crt`: the certificate authority
    - `admin`: the administrator's client certificate; control plane, kubeconfig and node use it
    - `apiserver`: the API server's serving certificate
    - `apiserver-client`: what the API server shows to kubelets
    - `kubelet`: the serving certificate of kubelets, real and simulated
    - `service-accounts.key`: signs ServiceAccount tokens
    """
    directory.mkdir(parents=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("devtools-ca", "")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = _builder(name, name, key).add_extension(usage, critical=True)
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    _write(directory / "ca.crt", _signed(authority, key))
    issued = (
        ("admin", "devtools-admin", ADMINISTRATORS, ()),
        ("apiserver", "kube-apiserver", "", tuple(server_names)),
        ("apiserver-client", "kube-apiserver-kubelet-client", "", ()),
        ("kubelet", "kubelet", "", tuple(kubelet_names)),
    )
    for file, common_name, organization, names in issued:
        own = ec.generate_private_key(ec.SECP256R1())
        certificate = _leaf(_builder(_name(common_name, organization), name, own), names)
        _write(directory / f"{file}.crt", _signed(certificate, key))
        _write(directory / f"{file}.key", _pem(own))
    _write(directory / "service-accounts.key", _pem(ec.generate_private_key(ec.SECP256R1())))


def _leaf(builder: x509.CertificateBuilder, names: tuple[str, ...]) -> x509.CertificateBuilder:
    """Make it a server's certificate if there are names to serve, a client's otherwise."""
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    alternatives = x509.SubjectAlternativeName(map(_alternative_name, names))
    return builder.add_extension(alternatives, critical=False) if names else builder


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
