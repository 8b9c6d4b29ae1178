"""The whole mail road in one package. `DESIGN.md` is the map; `docs/` tells how to use it.

For programs there are two names, `Pop3Client` and `BlockingPop3Client` (`docs/library.md`). What they need is imported
when one of them is asked for.
"""

TYPE_CHECKING = False  # what `typing` says, without the milliseconds that importing it takes

if TYPE_CHECKING:
    from postoffice.client.blocking import BlockingPop3Client
    from postoffice.client.pop3 import Pop3Client

__all__ = ["BlockingPop3Client", "Pop3Client", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Pop3Client":
        from postoffice.client.pop3 import Pop3Client

        return Pop3Client
    if name == "BlockingPop3Client":
        from postoffice.client.blocking import BlockingPop3Client

        return BlockingPop3Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
