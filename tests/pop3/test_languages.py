"""LANG finds what a range means (RFC 4647 §3.4), and the catalogues know every sentence that a client can hear."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest

from postoffice.access import languages
from postoffice.access.languages import LANGUAGES, Catalogue, chosen, read_catalogue
from postoffice.protocols.pop3.grammar import Invalid, parse
from postoffice.protocols.pop3.replies import Code
from postoffice.protocols.pop3.server import Pop3Server
from postoffice.protocols.pop3.table import RESPONSE_OCTETS, Arguments, Keyword
from postoffice.testing.sentences import sentences

CATALOGUES = Path(languages.__file__).parent / "catalogues"
_ENTRY = re.compile(r'^msgid "(.+)"\nmsgstr "(.+)"$', re.MULTILINE)
_GAP = re.compile(r"\{(\w+)\}")
OTHERS = [tag for tag in LANGUAGES if tag not in ("i-default", "en")]


def source(tag: str) -> dict[str, str]:
    return dict(_ENTRY.findall((CATALOGUES / f"{tag}.po").read_text()))


def heard(tag: str, line: bytes) -> bytes:
    """What a session in this language answers to a line that is no command."""
    server = Pop3Server()
    server.translate = LANGUAGES[tag].translate
    server.receive(line + b"\r\n")
    received = server.next_command()
    assert isinstance(received, Invalid)
    return server.error(received.because)


@pytest.mark.parametrize(
    ("language_range", "tag"),
    [
        ("vi", "vi"),
        ("VI", "vi"),
        ("vi-VN", "vi"),
        ("vi-Latn-VN-x-south", "vi"),
        ("en-US", "en"),
        ("i-default", "i-default"),
        ("*", "en"),
        ("mul", None),
        ("i", None),
        ("i-klingon", None),
        ("vie", None),
    ],
)
def test_a_range_means_the_language_that_is_left_of_it(language_range: str, tag: str | None) -> None:
    language = chosen(language_range)
    assert (language.tag if language else None) == tag


@pytest.mark.parametrize("tag", OTHERS)
def test_every_sentence_that_a_client_can_hear_is_translated_and_no_other(tag: str) -> None:
    known = {_GAP.sub("{}", sentence) for sentence in source(tag)}
    takes = {f"{{}} takes {kind.value}" for kind in Arguments}
    assert known == sentences() - {"{} takes {}"} | takes


@pytest.mark.parametrize("tag", OTHERS)
def test_the_compiled_catalogue_is_that_of_the_source(tag: str) -> None:
    compiled = CATALOGUES / f"{tag}.mo"
    assert read_catalogue(compiled.read_bytes()) == source(tag)
    with compiled.open("rb") as file:
        translations = gettext.GNUTranslations(file)
    assert {sentence: translations.gettext(sentence) for sentence in source(tag)} == source(tag)


@pytest.mark.parametrize("tag", OTHERS)
def test_a_sentence_is_known_by_its_form_alone_and_keeps_its_values(tag: str) -> None:
    for ours, theirs in source(tag).items():
        values = {gap: f"{number}" for number, gap in enumerate(_GAP.findall(ours), 17)}
        assert LANGUAGES[tag].translate(ours.format(**values)) == theirs.format(**values), ours
        alone = Catalogue({ours: theirs})
        others = [other for other in source(tag) if alone(_GAP.sub("1", other)) != _GAP.sub("1", other)]
        assert set(others) <= {ours}, "two forms for one sentence"
    assert LANGUAGES[tag].translate("nobody says this") == "nobody says this"


@pytest.mark.parametrize("tag", OTHERS)
def test_a_value_is_no_form(tag: str) -> None:
    for address in ("{count}{0}@example.org", '"two words"@example.org'):
        sentence = f"{address}'s maildrop has 1 messages (2 octets)"
        assert LANGUAGES[tag].translate(sentence) not in ("", sentence)
        assert address in LANGUAGES[tag].translate(sentence)


@pytest.mark.parametrize("tag", LANGUAGES)
@pytest.mark.parametrize("keyword", Keyword)
def test_wrong_arguments_are_told_in_every_language(tag: str, keyword: Keyword) -> None:
    line = keyword.value + b" \x00"
    assert isinstance(parse(line), Invalid)
    assert heard(tag, line).startswith(b"-ERR " + (keyword.value + b" takes " if tag not in OTHERS else b""))
    assert (b" takes " in heard(tag, line)) == (tag not in OTHERS)


def test_facts_are_in_no_language() -> None:
    server = Pop3Server()
    server.translate = LANGUAGES["vi"].translate
    server.receive(b"PASS x\r\nUIDL 1\r\n")
    server.next_command()
    server.ok()
    server.next_command()
    assert server.ok("1 octets") == b"+OK 1 octets\r\n"


def test_no_line_is_too_long_and_no_character_is_cut() -> None:
    for extra in range(4):
        server = Pop3Server()
        server.translate = LANGUAGES["vi"].translate
        server.receive(b"NOOP\r\n")
        server.next_command()
        line = server.error("x" * extra + "ệ" * 300, Code.SYS_TEMP)
        assert RESPONSE_OCTETS - 3 < len(line) <= RESPONSE_OCTETS
        assert line.decode().endswith("ệ\r\n")
