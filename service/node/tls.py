"""TLS both ways: each side shows a certificate, and each verifies the other's."""

from __future__ import annotations

import ssl

from service.errors import SettingRefused
from service.node.config import Tls


def server_context(tls: Tls) -> ssl.SSLContext:
    """For who is called; a caller without a good certificate is refused.

    Raises:
        SettingRefused: A file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _loaded(context, tls)


def client_context(tls: Tls) -> ssl.SSLContext:
    """For who calls; the host's name has to be in the certificate of who is called.

    Raises:
        SettingRefused: A file cannot be used.
    """
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls)


def _loaded(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # BCP 195, as PS3.15, B.12 asks for
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingRefused(f"tls: {tls.certificate}: the files cannot be used") from error
    return context
