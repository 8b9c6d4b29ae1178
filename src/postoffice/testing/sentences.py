"""What our code may say to a POP3 client, read from its source: every sentence, with `{}` where a value stands.

What is said before anybody can have chosen a language, the greeting and its refusal, is not among them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import postoffice

ROOT = Path(postoffice.__file__).parent
ROOMS = (ROOT / "access", ROOT / "accounts", ROOT / "protocols/pop3", ROOT / "protocols/sasl")
MODULES = [*chain.from_iterable(room.glob("*.py") for room in ROOMS), ROOT / "store/view.py"]
SAYING = {
    "ok": 0,
    "ok_listing": 0,
    "ok_letter": 0,
    "error": 0,
    "Invalid": 0,
    "NoSuchLetter": 0,
    "NotNow": 0,
    "Failed": 1,
}
"""Whatever says something to a client, and which argument is the sentence."""


def sentences() -> set[str]:
    """All of them; one whose form depends on a value is there once."""
    return {text for module in MODULES for text in _said_in(ast.parse(module.read_text())) if _has_words(text)}


def _said_in(module: ast.Module) -> Iterator[str]:
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call))
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in SAYING and len(call.args) > SAYING[name]:
            yield from _texts(call.args[SAYING[name]], module)
        elif name == "temporary":
            yield from chain.from_iterable(_texts(argument, module) for argument in call.args[1:])
        elif name == "Refusal":
            yield from chain.from_iterable(_texts(x.value, module) for x in call.keywords if x.arg == "public")


def _texts(said: ast.expr, module: ast.Module) -> Iterator[str]:
    match said:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from chain(_texts(body, module), _texts(orelse, module))
        case ast.Starred(value=ast.Name(id=name)) | ast.Name(id=name):
            for node in ast.walk(module):
                if isinstance(node, ast.Assign) and any(isinstance(x, ast.Name) and x.id == name for x in node.targets):
                    value = node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value
                    yield from _texts(value, module)


def _has_words(text: str) -> bool:
    return any(character.isalpha() for character in text.replace("{}", ""))
