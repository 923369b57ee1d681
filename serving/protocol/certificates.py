"""The server's certificate for TLS, read again when its files change."""

from __future__ import annotations

import logging
import pathlib
import ssl
from typing import Any

import grpc

from serving.settings import Settings

_logger = logging.getLogger(__name__)


class Certificate:
    """A certificate and its private key, in files that may be replaced while the server runs.

    Clients must have a certificate by `client_ca` where that is set.
    """

    def __init__(
        self, certificate: pathlib.Path, private_key: pathlib.Path, client_ca: pathlib.Path | None
    ) -> None:
        """Reads the files.

        Raises:
            OSError: if they cannot be read, or are no certificate with its key (ssl.SSLError).
        """
        self._files = certificate, private_key
        self._client_ca = client_ca
        self._seen = self._state()
        self.context = self._context()
        self._new: grpc.ServerCertificateConfiguration | None = None
        self._first = self._configuration()

    @classmethod
    def of(cls, settings: Settings) -> Certificate | None:
        """The certificate of the settings, None where they have none."""
        if settings.certificate is None or settings.private_key is None:
            return None
        return cls(settings.certificate, settings.private_key, settings.client_ca)

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC port; new connections get what was read last."""
        # The stubs do not know that None keeps the last one.
        take: Any = self._take_new
        return grpc.dynamic_ssl_server_credentials(self._first, take, self._client_ca is not None)

    def refresh(self) -> None:
        """Reads the files again if they have changed. Those that cannot be used change nothing."""
        try:
            state = self._state()
            if state == self._seen:
                return
            self._seen = state
            # What does not fit together raises before the context in use is touched.
            self._context()
            self.context.load_cert_chain(*self._files)
            self._new = self._configuration()
            _logger.info("The certificate was read again")
        except OSError as error:
            _logger.warning(
                "The certificate stays as it was, the new one cannot be used: %s", error
            )

    def _state(self) -> list[tuple[int, int, int]]:
        found = [path.stat() for path in self._files]
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in found]

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._files)
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        certificate, key = (path.read_bytes() for path in self._files)
        roots = None if self._client_ca is None else self._client_ca.read_bytes()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], roots)

    def _take_new(self) -> grpc.ServerCertificateConfiguration | None:
        new, self._new = self._new, None
        return new
