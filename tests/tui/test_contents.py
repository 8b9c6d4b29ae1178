"""What a letter brings besides its text: warnings, links and attachments, each seen before it can do harm."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

from tests.tui.conftest import Drive, add

LONG = "https://evil.example/" + "a" * 150


def composed(html: str = "", files: Sequence[tuple[str, bytes]] = ()) -> bytes:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "An <an@a.example>", "bob@b.example", "what it brings"
    letter.set_content("the plain text of it " * 20 if not html else "")
    if html:
        letter.add_alternative(html, subtype="html")
    for name, octets in files:
        letter.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return bytes(letter).replace(b"\n", b"\r\n")


FILES = (("report.txt", b"one\n" * 1000), ("invoice.pdf.exe", b"MZ" + bytes(2000)))
HTML = f'<p>Track it at <a href="{LONG}">https://www.good.example/</a>, or <a href="https://b.example/">here</a>.</p>'


async def test_warnings_stand_above_the_text_and_beside_what_they_are_about(tmp_path: Path, drive: Drive) -> None:
    file = tmp_path / "w.mailbox"
    await add(file, [composed(HTML, FILES)])
    async with drive(file, (80, 40)) as reader:
        assert " @ what it brings" in reader.lines[1]
        await reader.press("enter")
        above = reader.screen[: reader.screen.index("Track it at")]
        assert "! Attachment 2, invoice.pdf.exe: It is a program" in above
        assert "! Link 1: The text names www.good.example, and it leads to evil.example." in above
        assert "Attached report.txt, invoice.pdf.exe" in above
        assert reader.screen.count("invoice.pdf.exe") == 3


async def test_links_are_shown_whole_and_copied_not_opened(tmp_path: Path, drive: Drive) -> None:
    file = tmp_path / "l.mailbox"
    await add(file, [composed(HTML)])
    async with drive(file) as reader:
        await reader.press("enter")
        assert "[1]" in reader.screen
        await reader.press("l")
        assert LONG in "".join(line.replace("[1]", "").strip() for line in reader.lines)
        assert "shown as “https://www.good.example/”" in reader.screen
        await reader.press("enter")
        assert reader.app.clipboard == LONG
        await reader.press("j", "enter", "q", "q")
        assert reader.app.clipboard == "https://b.example/"
        assert reader.lines[0].startswith(" INBOX")


async def test_a_letter_without_links_or_attachments_says_so(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("enter", "l")
        assert "no links" in reader.screen
        await reader.press("a")
        assert "nothing is attached" in reader.screen


async def test_an_attachment_is_saved_without_the_right_to_run(tmp_path: Path, drive: Drive) -> None:
    file, folder = tmp_path / "a.mailbox", tmp_path / "saved here"
    folder.mkdir()
    await add(file, [composed(files=FILES)])
    async with drive(file) as reader:
        await reader.press("enter", "a", "j", "s", "ctrl+u")
        await reader.press(*("space" if one == " " else one for one in str(folder)), "enter")
        assert "saved in" in reader.screen
        [saved] = folder.iterdir()
        assert saved.read_bytes() == FILES[1][1]
        assert not saved.stat().st_mode & 0o111
        await reader.press("A", "enter")
        assert {one.read_bytes() for one in folder.iterdir()} == {octets for _, octets in FILES}
        assert len(list(folder.iterdir())) == 3


async def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path, drive: Drive) -> None:
    file = tmp_path / "a.mailbox"
    await add(file, [composed(files=FILES)])
    async with drive(file) as reader:
        await reader.press("enter", "a", "enter", "ctrl+u", *"/nowhere", "enter")
        assert "there is no folder /nowhere" in reader.screen
        await reader.press("s", "escape")
        assert reader.lines[0].startswith(" Attached")
        await reader.press("escape")
        assert reader.lines[0].startswith(" INBOX")


async def test_what_is_in_quarantine_is_not_saved_from_here(tmp_path: Path, drive: Drive) -> None:
    from postoffice.store.embedded import MailboxFile

    file = tmp_path / "q.mailbox"
    await add(file, [composed(files=FILES)])
    mailbox = MailboxFile.open(file)
    await mailbox.move((await mailbox.snapshot()).keys, "Quarantine")
    await mailbox.close()
    async with drive(file) as reader:
        await reader.press("f", "j", "enter", "enter")
        assert "! This letter is in Quarantine" in reader.screen
        await reader.press("a")
        assert "not saved from here" in reader.screen
        assert reader.lines[0].startswith(" Quarantine")
