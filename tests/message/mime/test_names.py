"""Whatever a letter calls what it brings, its file has a safe name; what is wrong with names and links is told."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.mime import suspicion
from postoffice.message.mime.names import NAME_OCTETS, file_name, numbered


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Công nợ tháng 3.xlsx", "Công nợ tháng 3.xlsx"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("/", "attachment-3.pdf"),
        ("..", "attachment-3.pdf"),
        ("", "attachment-3.pdf"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("~root", "root"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("aux.tar.gz", "_aux.tar.gz"),
        ("a\u202efdp.exe", "afdp.exe"),
        ("a\x00b\x1b[2J.pdf", "a_b_[2J.pdf"),
        ("a\u200bb.pdf", "ab.pdf"),
        ("a        .exe", "a.exe"),
        ("file.pdf. . .", "file.pdf"),
        ("a:b|c?.txt", "a_b_c_.txt"),
        ("x" * 5000 + ".pdf", "x" * (NAME_OCTETS - 4) + ".pdf"),
        ("ợ" * 500 + ".pdf", "ợ" * 58 + ".pdf"),
        ("e\u0301.txt", "é.txt"),
    ],
)
def test_names_of_files(name: str, safe: str) -> None:
    assert file_name(name, "application/pdf", 3) == safe


@given(st.text(max_size=300), st.text(max_size=20))
def test_any_name_is_safe(name: str, kind: str) -> None:
    safe = file_name(name, kind, 1)
    assert safe
    assert os.path.basename(safe) == safe  # noqa: PTH119 the name as the system takes it
    assert safe not in (".", "..")
    assert safe[0] not in ".-~ "
    assert len(safe.encode()) <= NAME_OCTETS + 4
    assert all(unicodedata.category(one) not in ("Cc", "Cf", "Cs") for one in safe)
    assert numbered(safe, 2) != safe


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("invoice.pdf.exe", "called like a document (.pdf)"),
        ("invoice.pdf      .exe", "blanks"),
        ("setup.exe", "a program or runs one (.exe)"),
        ("a\u202efdp.exe", "turns the direction"),
        ("a\u200b.pdf", "not seen"),
        ("a.xlsm", "macros"),
        ("a.html", "browser"),
        ("a.iso", "disc"),
        ("../a.pdf", "path"),
        ("a.exe.", "a program"),
    ],
)
def test_names_that_are_not_what_they_look_like(name: str, words: str) -> None:
    assert any(words in sentence for sentence in suspicion.of_name(name))


@pytest.mark.parametrize(
    "name", ["report.pdf", "Công nợ.xlsx", "archive.tar.gz", "photo.JPG", "", "v1.2.txt", "a b c.docx"]
)
def test_names_that_nothing_is_wrong_with(name: str) -> None:
    assert suspicion.of_name(name) == ()


def zipped(name: bytes, flags: int = 0) -> bytes:
    head = b"PK\x03\x04\x14\x00" + flags.to_bytes(2, "little") + b"\x00" * 10 + (4).to_bytes(4, "little") * 2
    return head + len(name).to_bytes(2, "little") + b"\x00\x00" + name + b"abcd"


@pytest.mark.parametrize(
    ("name", "kind", "octets", "words"),
    [
        ("a.pdf", "application/pdf", b"MZ\x90\x00", "It is a program for Windows"),
        ("a", "application/octet-stream", b"\x7fELF", "It is a program for Linux"),
        ("a.jpg", "image/jpeg", b"#!/bin/sh\n", "It is a script"),
        ("a.pdf", "application/pdf", b"PK\x03\x04", "It is called PDF, and is ZIP"),
        ("", "image/png", b"\xff\xd8\xff", "It is called PNG, and is JPEG"),
        ("a.pdf", "application/pdf", b"  <html><script>", "a page for a browser"),
        (
            "a.zip",
            "application/zip",
            zipped(b"a.txt") + zipped(b"x/bill.pdf.js"),
            "There is a program in it: x/bill.pdf.js",
        ),
        ("a.zip", "application/zip", zipped(b"a.txt", 1), "locked by a password"),
    ],
)
def test_files_that_are_not_what_they_are_called(name: str, kind: str, octets: bytes, words: str) -> None:
    assert any(words in sentence for sentence in suspicion.of_file(name, kind, octets))


@pytest.mark.parametrize(
    ("name", "kind", "octets"),
    [
        ("a.pdf", "application/pdf", b"%PDF-1.4"),
        ("a.docx", "application/zip", b"PK\x03\x04"),
        ("a.jpg", "image/jpeg", b"\xff\xd8\xff"),
        ("a.txt", "text/plain", b"MZ"[:1]),
        ("a.zip", "application/zip", zipped(b"a.txt")),
    ],
)
def test_files_that_nothing_is_wrong_with(name: str, kind: str, octets: bytes) -> None:
    assert suspicion.of_file(name, kind, octets) == ()


@pytest.mark.parametrize(
    ("text", "address", "words"),
    [
        ("www.bank.example", "https://evil.test/", "The text names www.bank.example, and it leads to evil.test"),
        ("https://bank.example/login", "http://bank.example.evil.test/", "it leads to bank.example.evil.test"),
        ("here", "https://bank.example@evil.test/", "no place; it leads to evil.test"),
        ("here", "http://192.0.2.1/x", "a number"),
        ("here", "http://0x7f000001/x", "a number"),
        ("here", "https://xn--80ak6aa92e.com/", "another alphabet"),
        ("here", "https://pаypal.com/", "another alphabet"),
        ("here", "javascript:alert(1)", "is a program"),
        ("here", " java\nscript:alert(1)", "is a program"),
        ("here", "data:text/html,x", "from nowhere"),
        ("here", "ms-word:ofe|u|http://x/", "opens a program (ms-word:)"),
        ("help@bank.example", "mailto:x@evil.test", "it writes to evil.test"),
    ],
)
def test_links_that_lead_elsewhere(text: str, address: str, words: str) -> None:
    assert any(words in sentence for sentence in suspicion.of_link(text, address))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("bank.example", "https://www.bank.example/login?x=1"),
        ("www.shop.co.uk", "https://mail.shop.co.uk/"),
        ("read more", "https://anything.test/"),
        ("README.md", "https://code.test/README.md"),
        ("node.js", "https://nodejs.test/"),
        ("münchen.de", "https://xn--mnchen-3ya.de/"),
        ("help@bank.example", "mailto:help@bank.example?subject=x"),
        ("call", "tel:+4912345"),
        ("here", "//host/path"),
        ("here", "http://[bad"),
    ],
)
def test_links_that_nothing_is_wrong_with(text: str, address: str) -> None:
    assert suspicion.of_link(text, address) == ()


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_link_name_and_file(one: str, other: str) -> None:
    suspicion.of_link(one, other)
    suspicion.of_link(one, "https://" + other)
    suspicion.of_file(one, other, other.encode("utf-8", "replace"))
    suspicion.of_sender(f"{one} <{other}>")
