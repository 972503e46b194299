"""Names become paths by one checked function, and files are whole or absent."""

from __future__ import annotations

import pytest

from testkit.core.errors import UnsafePathError
from testkit.core.paths import path_below, replacing


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\b", "a\x00b", "…", "CON: x?", "a" * 500])
def test_a_name_never_leaves_its_folder(tmp_path, name):
    """Whatever a name holds, its path is directly below the folder and can be written."""
    path = path_below(tmp_path, name)
    assert path.parent == tmp_path
    path.write_text("")
    assert path.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize("name", ["", ".", "..", "..."])
def test_a_name_of_nothing_but_dots_is_refused(tmp_path, name):
    """A name that would be the folder itself or its parent is refused."""
    with pytest.raises(UnsafePathError, match="cannot be the name"):
        path_below(tmp_path, name)


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path):
    """Until the block ends well the old file stays; when it fails nothing is left behind."""
    path = tmp_path / "made" / "report.txt"
    with replacing(path) as file:
        file.write("first \udc80")
        assert not path.exists()
    assert path.read_text() == "first \\udc80"
    with pytest.raises(RuntimeError), replacing(path) as file:  # noqa: PT012  # what is tested needs both lines
        file.write("second")
        raise RuntimeError
    assert path.read_text() == "first \\udc80"
    assert [child.name for child in path.parent.iterdir()] == ["report.txt"]
