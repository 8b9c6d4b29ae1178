"""TLS as mail uses it: real handshakes between our own contexts, over memory."""

from __future__ import annotations

import ssl
import stat
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from postoffice.errors import UsageError
from postoffice.net.self_signed import make_self_signed
from postoffice.net.tls import (
    client_certificate,
    client_context,
    describe,
    end_point,
    opportunistic_context,
    pin_of,
    pinned_context,
    show,
)
from postoffice.net.tls_server import Pair, reload, server_context
from postoffice.testing.certificates import Authority


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str | None, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake and one octet from the server, which also carries the tickets."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    waiting = [ours, theirs]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    theirs.write(b"x")
    assert ours.read(1) == b"x"
    return theirs, ours


def subject_names(octets: bytes | None) -> list[str]:
    assert octets is not None
    certificate = x509.load_der_x509_certificate(octets)
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )


def test_who_trusts_the_authority_trusts_what_it_issued(tmp_path: Path) -> None:
    authority = Authority()
    server = server_context(*authority.issue(["mx.a.example", "127.0.0.1"], tmp_path))
    client = client_context(authority.ca_path)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("mx.a.example", "127.0.0.1"):
        theirs, ours = handshake(server, client, name)
        assert describe(theirs) == describe(ours)
        assert describe(ours)[0] == "TLSv1.3"
        assert describe(ours)[1].startswith("TLS_")


def test_another_name_or_another_authority_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = server_context(*authority.issue(["mx.a.example"], tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, client_context(authority.ca_path), "mx.b.example")
    other = Authority()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client_context(other.ca_path), "mx.a.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client_context(), "mx.a.example")


def test_the_authority_goes_when_nobody_has_it_any_more() -> None:
    authority = Authority()
    path = authority.ca_path
    assert path.exists()
    del authority
    assert not path.exists()


def test_a_self_signed_certificate_is_trusted_by_who_has_it_and_by_the_courier(tmp_path: Path) -> None:
    certificate, key = make_self_signed(tmp_path, ["a.example", "::1"])
    server = server_context(certificate, key)
    client = client_context(certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    handshake(server, client, "a.example")
    handshake(server, client, "::1")
    handshake(server, opportunistic_context(), "anything.example")
    handshake(server, opportunistic_context(), None)
    handshake(server, client_context(verify=False), "anything.example")


def test_a_self_signed_pair_says_what_it_is_and_only_the_owner_reads_the_key(tmp_path: Path) -> None:
    now = 1_800_000_000.0
    make_self_signed(tmp_path, ["old.example"])
    certificate, key = make_self_signed(tmp_path, ["a.example", "192.0.2.1"], lambda: now)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.pem", "key.pem"]
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("192.0.2.1")]
    assert loaded.not_valid_before_utc.timestamp() < now < loaded.not_valid_after_utc.timestamp()
    public = loaded.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)


@pytest.mark.parametrize("name", ["b.example", None])
def test_after_a_reload_the_same_context_shows_the_new_chain(tmp_path: Path, name: str | None) -> None:
    server = server_context(*make_self_signed(tmp_path, ["a.example"]))
    client = opportunistic_context()
    _, before = handshake(server, client, name)
    reload(server, *make_self_signed(tmp_path, ["b.example"]))
    _, after = handshake(server, client, name)
    assert subject_names(before.getpeercert(binary_form=True)) == ["a.example"]
    assert subject_names(after.getpeercert(binary_form=True)) == ["b.example"]


def test_a_reload_may_bring_another_kind_of_key(tmp_path: Path) -> None:
    certificate, key = make_self_signed(tmp_path, ["a.example"])
    server = server_context(certificate, key)
    secret = rsa.generate_private_key(65537, 2048)
    begin = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_before_utc
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa.example")])
    builder = x509.CertificateBuilder(name, name, secret.public_key(), 1, begin, begin.replace(year=begin.year + 2))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("rsa.example")]), critical=False)
    certificate.write_bytes(builder.sign(secret, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    reload(server, certificate, key)
    _, ours = handshake(server, opportunistic_context(), "rsa.example")
    assert subject_names(ours.getpeercert(binary_form=True)) == ["rsa.example"]


def test_a_reload_of_wrong_files_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = make_self_signed(tmp_path, ["a.example"])
    other, _ = make_self_signed(tmp_path / "other", ["b.example"])
    server = server_context(certificate, key)
    with pytest.raises(UsageError):
        reload(server, other, key)
    handshake(server, client_context(certificate), "a.example")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_comes_back_resumes_also_after_a_reload(tmp_path: Path, version: ssl.TLSVersion) -> None:
    server = server_context(*make_self_signed(tmp_path, ["a.example"]))
    client = opportunistic_context()
    client.maximum_version = version
    _, ours = handshake(server, client, "a.example")
    assert not ours.session_reused
    reload(server, *make_self_signed(tmp_path, ["a.example"]))
    _, again = handshake(server, client, "a.example", ours.session)
    assert again.session_reused


def pair(folder: Path, *names: str) -> Pair:
    """A certificate for these names, in a folder that is called like the first."""
    folder = folder / names[0].replace("*", "any")
    folder.mkdir(exist_ok=True)
    return Pair(*make_self_signed(folder, names))


def shown(connection: ssl.SSLObject) -> str:
    return subject_names(connection.getpeercert(binary_form=True))[0]


def server_of_several(folder: Path) -> ssl.SSLContext:
    usual = pair(folder, "usual.example", "both.example")
    more = [pair(folder, "a.example", "*.a.example"), pair(folder, "b.example", "x.a.example", "both.example", "::1")]
    return server_context(usual.certificate, usual.key, more=more)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("name", "first_name"),
    [
        ("a.example", "a.example"),
        ("pop.a.example", "a.example"),
        ("POP.A.Example", "a.example"),
        ("x.a.example", "b.example"),
        ("both.example", "b.example"),
        ("two.labels.a.example", "usual.example"),
        ("usual.example", "usual.example"),
        ("elsewhere.example", "usual.example"),
        ("example", "usual.example"),
        ("::1", "usual.example"),
        (None, "usual.example"),
    ],
)
def test_who_says_a_name_is_shown_the_certificate_that_it_stands_in(
    tmp_path: Path, version: ssl.TLSVersion, name: str | None, first_name: str
) -> None:
    client = opportunistic_context()
    client.maximum_version = version
    theirs, ours = handshake(server_of_several(tmp_path), client, name)
    assert shown(ours) == first_name
    assert end_point(theirs) == end_point(ours) != b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["x.a.example", "pop.a.example", None])
def test_who_resumes_where_several_are_shown_can_be_bound_to_none(
    tmp_path: Path, version: ssl.TLSVersion, name: str | None
) -> None:
    server, client = server_of_several(tmp_path), opportunistic_context()
    client.maximum_version = version
    _, ours = handshake(server, client, "x.a.example")
    theirs, again = handshake(server, client, name, ours.session)
    assert again.session_reused
    assert shown(again) == "b.example"
    assert end_point(theirs) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["a.example", "usual.example"])
def test_a_client_may_show_a_certificate_under_every_name_and_resume_with_it(
    tmp_path: Path, version: ssl.TLSVersion, name: str
) -> None:
    authority, usual = Authority(), pair(tmp_path, "usual.example")
    server = server_context(usual.certificate, usual.key, authority.ca_path, [pair(tmp_path, "a.example")])
    client = opportunistic_context()
    client.maximum_version = version
    show(client, *authority.issue_to(["bob@a.example"], tmp_path))
    theirs, ours = handshake(server, client, name)
    again, resumed = handshake(server, client, name, ours.session)
    assert resumed.session_reused
    assert shown(ours) == name
    assert client_certificate(theirs) == client_certificate(again) != b""


def test_a_reload_reads_every_certificate_and_one_that_is_wrong_changes_none(tmp_path: Path) -> None:
    usual, more = pair(tmp_path, "usual.example"), [pair(tmp_path, "a.example"), pair(tmp_path, "b.example")]
    server = server_context(usual.certificate, usual.key, more=more)

    def all_shown() -> list[bytes | None]:
        names = ("a.example", "b.example", "usual.example")
        return [handshake(server, opportunistic_context(), name)[1].getpeercert(binary_form=True) for name in names]

    before = all_shown()
    reload(server, usual.certificate, usual.key, more=more)
    assert all_shown() == before
    for name in ("a.example", "b.example", "usual.example"):
        pair(tmp_path, name)
    whole = more[1].key.read_bytes()
    more[1].key.write_text("no key")
    with pytest.raises(UsageError, match=str(more[1].key)):
        reload(server, usual.certificate, usual.key, more=more)
    assert all_shown() == before
    more[1].key.write_bytes(whole)
    reload(server, usual.certificate, usual.key, more=more)
    assert not set(before) & set(all_shown())


def test_a_certificate_for_no_name_is_not_one_of_more(tmp_path: Path) -> None:
    usual, nameless = pair(tmp_path, "usual.example"), pair(tmp_path, "a.example")
    key = serialization.load_pem_private_key(nameless.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    begin = x509.load_pem_x509_certificate(nameless.certificate.read_bytes()).not_valid_before_utc
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin.replace(year=begin.year + 2))
    nameless.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    with pytest.raises(UsageError, match=f"{nameless.certificate}: there is no name in it"):
        server_context(usual.certificate, usual.key, more=[nameless])


def test_a_client_of_yesterday_is_turned_away(tmp_path: Path) -> None:
    server = server_context(*make_self_signed(tmp_path, ["a.example"]))
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2
    old = opportunistic_context()
    old.set_ciphers("AES128-SHA")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)no.shared.cipher"):
        handshake(server, old, "a.example")


def test_wrong_files_are_named_with_the_status_of_a_wrong_config(tmp_path: Path) -> None:
    certificate, key = make_self_signed(tmp_path, ["a.example"])
    missing = tmp_path / "missing.pem"
    text = tmp_path / "text.pem"
    text.write_text("not PEM")
    locked = tmp_path / "locked.pem"
    secret = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    for pair, named in [
        ((missing, key), missing),
        ((certificate, missing), missing),
        ((text, key), text),
        ((certificate, text), text),
        ((certificate, locked), locked),
    ]:
        with pytest.raises(UsageError) as caught:
            server_context(*pair)
        assert str(named) in str(caught.value)
        assert caught.value.status == 78
    for path in (missing, text):
        with pytest.raises(UsageError) as caught:
            client_context(path)
        assert str(path) in str(caught.value)


def test_a_pinned_key_is_believed_whatever_its_certificate_says(tmp_path: Path) -> None:
    certificate, key = make_self_signed(tmp_path, ["another.example"], lambda: 1e9)  # over since 2011
    pin = pin_of(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    _, ours = handshake(server_context(certificate, key), pinned_context(pin), "pop.example")
    assert ours.version() == "TLSv1.3"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_key_than_the_pinned_one_ends_the_handshake(tmp_path: Path, version: ssl.TLSVersion) -> None:
    authority = Authority(tmp_path)
    for folder in ("one", "another"):
        (tmp_path / folder).mkdir()
    certificate, _ = authority.issue(["pop.example"], tmp_path / "one")
    pin = pin_of(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    server = server_context(*authority.issue(["pop.example"], tmp_path / "another"))
    server.maximum_version = version
    with pytest.raises(ssl.SSLCertVerificationError, match="the key is sha256:") as problem:
        handshake(server, pinned_context(pin), "pop.example")
    assert problem.value.verify_message.endswith(f", and {pin} is expected")


@pytest.mark.parametrize("pin", ["", "sha256:", "sha256:AAAA", "sha1:" + "A" * 28, "sha256:" + "A" * 42 + "-="])
def test_what_is_no_pin_is_told(pin: str) -> None:
    with pytest.raises(UsageError, match="is no pin"):
        pinned_context(pin)
