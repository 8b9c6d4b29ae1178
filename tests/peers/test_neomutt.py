"""NeoMutt with libgsasl takes -PLUS wherever it is told of it, and cannot bind; told of none it logs in by SCRAM."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, wait_until
from postoffice.testing.programs import PASSWORD, Program

BOB = "bob@a.example"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        shutil.which("neomutt") is None or shutil.which("script") is None, reason="neomutt or script is not installed"
    ),
]


def test_neomutt_logs_in_by_scram_where_no_binding_is_wanted(program: Program) -> None:
    with open_folder() as folder:
        authority = Authority(folder)
        make_office(folder / "office", {BOB: PASSWORD}, authority, scram=True)
        config = f"{CLEAR_TEXT}channel_binding = false\n"
        with OfficeProcess(folder / "office", config, ["--workers", "1"]) as office:
            (program.home / "Mail").mkdir()
            (program.home / "rc").write_text(
                f'set ssl_ca_certificates_file="{authority.ca_path}"\nset folder="{program.home}/Mail"\n'
                f'set pop_user="{BOB}"\nset pop_pass="{PASSWORD}"\n'
            )
            url = f"pops://localhost:{office.ports['pop3s']}"
            program.run(
                "env", "TERM=xterm", "script", "-qec", f"neomutt -n -F rc -f {url} -e 'push <quit>'", "/dev/null"
            )
            wait_until(lambda: bool(_sessions(office)), "the session is told")
            assert {one["event"] for one in _sessions(office)} == {"pop3.closed"}
            assert {one["mechanism"] for one in _sessions(office)} == {"SCRAM-SHA-256"}


def _sessions(office: OfficeProcess) -> list[dict[str, Any]]:
    return [one for one in office.events() if str(one["event"]).startswith("pop3.")]
