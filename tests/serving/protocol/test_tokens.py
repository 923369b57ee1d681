"""Bearer tokens."""

from __future__ import annotations

import pathlib

import pytest

from serving.protocol import tokens
from serving.settings import Settings


def test_a_file_has_a_token_on_each_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# for the notebook\n one \n\ntwo\n")
    assert tokens.read(path) == ("one", "two")


@pytest.mark.parametrize("text", ["", " \n", "# nothing\n\n", "töken", "one two", "a\x01b"])
def test_a_file_without_tokens_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ValueError, match="Received"):
        tokens.read(path)


def test_permits() -> None:
    assert tokens.permits("Bearer two", ("one", "two"))
    for header in (None, "", "two", "Basic two", "Bearer", "Bearer ", "Bearer twö", "Bearer tw"):
        assert not tokens.permits(header, ("one", "two"))
    assert not tokens.permits("Bearer ", ())


def test_administrators_may_all_and_others_only_ask() -> None:
    both = Settings(tokens=("ask",), admin_tokens=("admin",))
    assert tokens.may_ask("Bearer ask", both) and tokens.may_ask("Bearer admin", both)
    assert tokens.may_administer("Bearer admin", both)
    assert not tokens.may_administer("Bearer ask", both)
    only = Settings(admin_tokens=("admin",))
    assert tokens.may_ask(None, only) and not tokens.may_administer(None, only)
    assert tokens.may_administer("Bearer ask", Settings(tokens=("ask",)))
    assert not tokens.may_administer(None, Settings(tokens=("ask",)))
    assert tokens.may_administer(None, Settings())
