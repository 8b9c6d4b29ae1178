"""The waists stay narrow: what an engine must do fits on one page."""

from __future__ import annotations

import inspect

import pytest

from postoffice.store import base

MOST_VERBS = 16


WAISTS = [base.Mailbox, base.Octets, base.Pulls, base.Scans, base.Office, base.Directory, base.Visits, base.Attic]


@pytest.mark.parametrize("waist", WAISTS)
def test_a_waist_has_sixteen_verbs_at_most(waist: type) -> None:
    verbs = [name for name, verb in vars(waist).items() if inspect.iscoroutinefunction(verb)]
    assert 0 < len(verbs) <= MOST_VERBS, verbs


@pytest.mark.parametrize("waist", [*WAISTS, base.Stage, base.MaildropLock])
def test_every_verb_is_a_coroutine(waist: type) -> None:
    public = {name: verb for name, verb in vars(waist).items() if inspect.isfunction(verb) and not name.startswith("_")}
    assert public
    for name, verb in public.items():
        assert inspect.iscoroutinefunction(verb), f"{name} could not wait"
