"""Examples empty the folders that examples made, and no others."""

from pathlib import Path

import pytest

from examples.made_folder import made_anew


def test_a_folder_is_emptied_only_where_an_example_made_it(tmp_path: Path) -> None:
    folder = made_anew(tmp_path / "new" / "documents")
    (folder / "old.pdf").write_bytes(b"sample")
    assert [path.name for path in made_anew(folder).iterdir()] == [".made-by-an-example"]


def test_what_somebody_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"mine")
    with pytest.raises(SystemExit, match="name another folder"):
        made_anew(tmp_path)
    assert (tmp_path / "thesis.pdf").read_bytes() == b"mine"


def test_an_empty_folder_may_be_anyones(tmp_path: Path) -> None:
    assert made_anew(tmp_path) == tmp_path
