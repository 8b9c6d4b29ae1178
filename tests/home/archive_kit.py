"""Archives of letters, and a browser without a window that opens them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from postoffice.home.archive.writing import Plan, to_html
from postoffice.moving.letters import Complaint
from postoffice.moving.outlet import Outlet
from postoffice.moving.taking import Report, Witness
from postoffice.store.embedded import MailboxFile

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here")


async def archive(
    file: Path, out: Path, wanted: Sequence[str] = (), title: str = "letters"
) -> tuple[Report, list[Complaint]]:
    mailbox = MailboxFile.open(file)
    complaints: list[Complaint] = []
    try:
        with closing(Outlet(out)) as outlet:
            witness = Witness(complaints.append, lambda _: None)
            return await to_html(mailbox, outlet, witness, Plan(title, wanted, 1_700_000_000.0)), complaints
    finally:
        await mailbox.close()


def opened(page: Path, query: str = "", *options: str) -> str:
    """The page as the browser has it when its scripts have come to their end, as HTML."""
    with tempfile.TemporaryDirectory() as profile:
        words = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
            *("--virtual-time-budget=20000", "--dump-dom", *options, page.as_uri() + query),
        ]
        return subprocess.run(words, capture_output=True, check=True, timeout=100).stdout.decode()


def answered(archive: Path, script: str) -> object:
    """What a script gives that runs beside that of the search, on a page of its own in an archive."""
    (archive / "asked.html").write_text(
        '<!doctype html><meta charset="utf-8"><script src="look/search.js"></script><pre id="told"></pre><script>'
        f"(async () => {{ {script} }})().then((told) => told, (error) => String(error)).then((told) => {{"
        'document.querySelector("#told").textContent = JSON.stringify(told); });</script>',
        encoding="utf-8",
    )
    page = opened(archive / "asked.html")
    return json.loads(unescape(page.partition('<pre id="told">')[2].partition("</pre>")[0]))
