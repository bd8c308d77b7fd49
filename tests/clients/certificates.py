"""An authority of a test's own, and what it signs, as PEM."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates that are valid now."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = self._sign(self._key, self._name, ca)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self):
        """Certificate and key of a server at `localhost`."""
        return self._issue(x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))

    def client(self, uri):
        """Certificate and key of a client that the URI names."""
        return self._issue(x509.UniformResourceIdentifier(uri))

    def _issue(self, *names):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key, x509.Name([]), x509.SubjectAlternativeName(names))
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _sign(self, key, subject, extension):
        now = datetime.datetime.now(datetime.timezone.utc)
        # Of a certificate without a subject, RFC 5280 wants the alternative name to be critical.
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1),
            not_valid_after=now + datetime.timedelta(hours=1),
        )
        return builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())
