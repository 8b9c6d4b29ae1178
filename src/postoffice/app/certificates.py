"""What the doors show in TLS, read from files.

Made before the workers are, and inherited by them. So they share the keys of their tickets, and a client resumes its
session whichever of them answers; and one that is replaced needs no file, which may be wrong by then.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from postoffice.app.config import TlsSettings
from postoffice.net.tls_server import reload, server_context


class Certificates:
    """`paths` are of all that are shown. A UsageError (78) names a file that is wrong.

    `for_people` is where people log in: only they are asked for a certificate, since an office that shows one of
    somebody else's must not be turned away. `for_offices` is everywhere else.
    """

    def __init__(self, certificate: Path, key: Path, settings: TlsSettings) -> None:
        self._certificate, self._key = certificate, key
        self._settings = settings
        clients, more = settings.client_authorities, settings.more
        self.paths = (certificate, *(pair.certificate for pair in more))
        self.for_offices: ssl.SSLContext = server_context(certificate, key, more=more)
        self.for_people: ssl.SSLContext = (
            server_context(certificate, key, clients, more) if clients else self.for_offices
        )

    def reload(self) -> None:
        """Read all files again; conversations that stand keep what they have. If one is wrong nothing changes."""
        certificate, key, more = self._certificate, self._key, self._settings.more
        if self.for_people is not self.for_offices:
            reload(self.for_people, certificate, key, self._settings.client_authorities, more)
        reload(self.for_offices, certificate, key, more=more)
