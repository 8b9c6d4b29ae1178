"""A POP URL names a maildrop, survives being written and read, and never holds a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.client.url import Source, format_url, parse_url
from postoffice.errors import UsageError
from postoffice.protocols.sasl import client as sasl

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5}){0,2}", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
MECHANISMS = st.sampled_from(["*", *(name.decode() for name in sasl.MECHANISMS), "+APOP", "+X Y;Z"])
SOURCES = st.builds(Source, HOSTS, st.integers(1, 65535), TEXT, st.booleans(), MECHANISMS)


@given(SOURCES)
def test_a_source_survives_its_url(source: Source) -> None:
    assert parse_url(format_url(source)) == source


@given(SOURCES)
def test_the_way_to_a_maildrop_is_no_part_of_its_name(source: Source) -> None:
    named = parse_url(source.maildrop)
    assert (named.host, named.user) == (source.host, source.user)
    assert named.maildrop == source.maildrop


@pytest.mark.parametrize(
    ("url", "source"),
    [
        # RFC 2384 §7
        ("pop://rg@mailsrv.qualcomm.com", Source("mailsrv.qualcomm.com", 110, "rg")),
        ("pop://rg;AUTH=+APOP@mail.eudora.com:8110", Source("mail.eudora.com", 8110, "rg", mechanism="+APOP")),
        ("pop://baz;AUTH=SCRAM-MD5@foo.bar", Source("foo.bar", 110, "baz", mechanism="SCRAM-MD5")),
        ("POPS://bob@Pop.B.Example/", Source("pop.b.example", 995, "bob", implicit_tls=True)),
        ("pops://bob@b.example@pop.b.example", Source("pop.b.example", 995, "bob@b.example", implicit_tls=True)),
        ("pop://b%6Fb%40b%3Ax;auth=*@[::1]:1110", Source("::1", 1110, "bob@b:x")),
        ("pop://bob;AUTH=*@b.example", Source("b.example", 110, "bob")),
        ("pop://bob;AUTH=EXTERNAL@b.example", Source("b.example", 110, "bob", mechanism="EXTERNAL")),
        ("pop://b%3Bob%2F;AUTH=CRAM-MD5@b.example", Source("b.example", 110, "b;ob/", mechanism="CRAM-MD5")),
        ("pop://b.example", Source("b.example", 110, "")),
        ("pops://b.example:1995/", Source("b.example", 1995, "", implicit_tls=True)),
        ("pop://bob@bücher.example", Source("xn--bcher-kva.example", 110, "bob")),
    ],
)
def test_what_a_url_names(url: str, source: Source) -> None:
    assert parse_url(url) == source


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bob@b.example",
        "pop://@b.example",
        "http://bob@b.example",
        "pop://bob@",
        "pop://bob@b.example:0",
        "pop://bob@b.example:65536",
        "pop://bob@b.example:99999999999999999999",
        "pop://bob@b.example:x",
        "pop://bob@b.example/inbox",
        "pop://bob@b example",
        "pop://bob@[::g]",
        "pop://bob%0D%0ADELE 1@b.example",
        "pop://bob\r\n@b.example",
        "pop://bob%zz@b.example",
        "pop://bob%ff@b.example",
        "pop://bob;AUTH=@b.example",
        "pop://;AUTH=PLAIN@b.example",
    ],
)
def test_what_is_no_pop_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert caught.value.status == 64


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    for url in ("pop://bob:hunter2@b.example", "pops://bob;AUTH=PLAIN:hunter2@b.example"):
        with pytest.raises(UsageError, match="no place in a POP URL") as caught:
            parse_url(url)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("b.example", False)],
)
def test_only_loopback_is_this_machine(host: str, is_here: bool) -> None:
    assert Source(host, 110, "bob").is_on_this_machine is is_here
