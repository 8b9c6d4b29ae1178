"""The embedded engine: SQLite files, the default, nothing to install."""

from __future__ import annotations

from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.embedded.store import EmbeddedStore

__all__ = ["EmbeddedStore", "MailboxFile"]
