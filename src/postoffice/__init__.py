"""The whole mail road in one package. `DESIGN.md` is the map; `docs/` tells how to use it."""

__version__ = "0.1.0"
