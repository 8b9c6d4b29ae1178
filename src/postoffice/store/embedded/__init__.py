"""The embedded engine: SQLite files, the default, nothing to install.

What an office needs is imported when `EmbeddedStore` is asked for: a mailbox at home does without it, and so do the
commands that open one.
"""

TYPE_CHECKING = False  # what `typing` says, without the milliseconds that importing it takes

if TYPE_CHECKING:
    from postoffice.store.embedded.mailbox import MailboxFile
    from postoffice.store.embedded.store import EmbeddedStore

__all__ = ["EmbeddedStore", "MailboxFile"]


def __getattr__(name: str) -> object:
    if name == "MailboxFile":
        from postoffice.store.embedded.mailbox import MailboxFile

        return MailboxFile
    if name == "EmbeddedStore":
        from postoffice.store.embedded.store import EmbeddedStore

        return EmbeddedStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
