"""Bearer tokens."""

from __future__ import annotations

import pathlib

import pytest

from serving.protocol import tokens


def test_a_file_has_a_token_on_each_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# for the notebook\n one \n\ntwo\n")
    assert tokens.read(path) == ("one", "two")


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "töken"])
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
