"""Baselines: where they are, which names they may have, and that they are whole whoever writes them."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys

import pytest

from testkit.core.errors import UnsafePathError
from testkit.screenshots import baselines
from testkit.screenshots.baselines import Baselines, files_in, platform_name


@pytest.fixture(autouse=True)
def none_asked(monkeypatch):
    """Have each test begin as a process does: no name was asked for."""
    monkeypatch.setattr(baselines, "_asked", {})


@pytest.fixture
def kept(tmp_path):
    return Baselines(tmp_path / "screenshots" / "baseline", "chromium", "linux")


def test_the_file_has_the_browser_the_platform_the_name_and_the_label(kept):
    """A name may have folders, spaces and letters of any language, and is not altered."""
    home = kept.folder / "chromium-linux"
    assert kept.path("home", "1024_dark") == home / "home_1024_dark.png"
    assert kept.path("home") == home / "home.png"
    assert kept.path("books/list of [all]", "320") == home / "books" / "list of [all]_320.png"
    assert kept.path("Übersicht", "320") == home / "Übersicht_320.png"
    assert kept._replace(browser="firefox", platform="windows").path("home").parent.name == "firefox-windows"


REFUSED = {
    "../x": "begins or ends with a dot",
    "a/../../x": "begins or ends with a dot",
    "..": "begins or ends with a dot",
    "/etc/passwd": "it is empty",
    "a//b": "it is empty",
    "": "cannot be the name of a baseline",
    "a/": "cannot be the name of a baseline",
    ".git/config": "begins or ends with a dot",
    "a\\b": r"it has \\ in it",
    "C:x": "it has : in it",
    "a?b*": r"it has \? \* in it",
    "a\nb": "cannot be printed",
    "a\x00b": "cannot be printed",
    "a\udc80b": "cannot be printed",
    "con": "Windows keeps that name",
    "NUL.txt": "Windows keeps that name",
    "lpt1/x": "Windows keeps that name",
    "COM² .a": "Windows keeps that name",
    "x ": "begins or ends with a dot or a space",
    "e\u0301": "normalise it to NFC",
    "é" * 101: "it has 202 bytes, and 200 is the most",
    "x" * 199: "it has 201 bytes, and 200 is the most",
    "a/" * 149 + "bc": "it has 302 characters, and 300 is the most",
}


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_a_name_that_not_all_file_systems_have_is_refused(kept, name, reason):
    """The error says what is wrong with it; nothing is made up in its place."""
    with pytest.raises(UnsafePathError, match=reason):
        kept.path(name, "1")
    assert not kept.folder.exists()


@pytest.mark.parametrize("label", ["../x", "a/b", "x."])
def test_a_label_is_checked_too(kept, label):
    with pytest.raises(UnsafePathError):
        kept.path("home", label)


def test_no_name_leads_out_of_the_folder_or_to_the_file_of_another(kept):
    """Of thousands of random names each is refused, or has a file below the folder that no other name has."""
    chance = random.Random(7)
    pieces = [
        "..",
        ".",
        "/",
        "\\",
        "a",
        "A",
        "b_1",
        "_",
        " ",
        "~",
        "%2e",
        "nul",
        "é",
        "e\u0301",
        "\0",
        ":",
        "1",
        "png",
        "-",
    ]
    home = (kept.folder / "chromium-linux").resolve()
    taken: dict[str, tuple[str, str]] = {}
    refused = 0
    for _ in range(4000):
        name = "".join(chance.choice(pieces) for _ in range(chance.randrange(1, 7)))
        label = chance.choice(["", "1", "1_1", "b_1"])
        try:
            path = kept.path(name, label)
        except UnsafePathError:
            refused += 1
            continue
        assert path.resolve().is_relative_to(home)
        assert path.resolve() != home
        assert path.name.endswith(".png")
        assert not path.name.startswith(".")
        assert taken.setdefault(str(path).casefold(), (name, label)) == (name, label)
    assert len(taken) > 200
    assert refused > 200


def test_two_names_that_would_share_a_file_are_an_error(kept):
    """It names both; the same name again is none, since several tests may look at one page."""
    kept.path("home", "1024")
    kept.path("home", "1024")
    with pytest.raises(UnsafePathError, match="'home' at '1024' and 'home_1024' would have the same file"):
        kept.path("home_1024")
    with pytest.raises(UnsafePathError, match="'home' at '1024' and 'HOME' at '1024' would have the same file"):
        kept.path("HOME", "1024")
    kept._replace(browser="firefox").path("home_1024")


def test_a_link_out_of_the_folder_is_not_followed(kept, tmp_path):
    """A folder within the baselines that is a link to elsewhere is refused; the baselines themselves may be a link."""
    (tmp_path / "elsewhere" / "chromium-linux").mkdir(parents=True)
    kept.folder.parent.mkdir()
    kept.folder.symlink_to(tmp_path / "elsewhere")
    kept.write("books/list", "320", b"image")
    (kept.folder / "chromium-linux" / "out").symlink_to(tmp_path)
    with pytest.raises(UnsafePathError, match="is a link out of"):
        kept.path("out/list", "320")


def test_what_is_written_is_read_as_it_was(kept):
    """The bytes are those that were given; there is nothing before, and nothing beside them after."""
    assert kept.read("a/b", "320") is None
    path = kept.write("a/b", "320", b"\x89PNG\r\n")
    assert kept.read("a/b", "320") == b"\x89PNG\r\n"
    kept.write("a/b", "320", b"second")
    assert [file.name for file in path.parent.iterdir()] == ["b_320.png"]
    assert path.read_bytes() == b"second"


def test_the_longest_name_can_be_written(kept):
    """Beside the name there is room for what a file is called until it is whole."""
    for write in (kept.write, kept.create):
        write("x" * 198, "1", b"image")
    assert kept.create("é" * 99, "1", b"image")
    assert len(files_in(kept.folder)) == 2


def test_create_leaves_what_is_there(kept):
    """The first one writes; the next one is told that it did not."""
    assert kept.create("home", "320", b"first") is True
    assert kept.create("home", "320", b"second") is False
    assert kept.read("home", "320") == b"first"
    assert len(list(kept.path("home", "320").parent.iterdir())) == 1


def test_create_works_without_links(kept, monkeypatch):
    """On a file system that has no links the image is written too."""

    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert kept.create("home", "320", b"first") is True
    assert kept.create("home", "320", b"second") is False
    assert [file.name for file in kept.path("home", "320").parent.iterdir()] == ["home_320.png"]


def race(kept, number, barrier, results):
    barrier.wait()
    results.put([kept.create(f"race{turn}", "320", bytes([number]) * 100_000) for turn in range(50)])


def test_of_many_processes_one_creates_the_image(kept):
    """Of four processes that create the same fifty images at once, one is told each time that its image is the baseline."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=race, args=(kept, number, barrier, results)) for number in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    results.close()
    results.join_thread()
    assert [sum(turn) for turn in zip(*outcomes, strict=True)] == [1] * 50
    files = files_in(kept.folder)
    assert len(files) == len(list(files[0].parent.iterdir())) == 50
    for file in files:
        data = file.read_bytes()
        assert len(data) == 100_000
        assert len(set(data)) == 1


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("linux", "linux"),
        ("darwin", "macos"),
        ("mac", "macos"),
        ("Mac OS X", "macos"),
        ("win32", "windows"),
        ("Windows 11", "windows"),
        ("WINDOWS", "windows"),
        ("FreeBSD 14", "freebsd-14"),
    ],
)
def test_platforms_have_one_name_each(system, name):
    """Python, ChromeDriver and Safari call the same system by several names."""
    assert platform_name(system) == name


def test_this_machine_is_the_platform_that_is_meant():
    assert platform_name() == platform_name(sys.platform)


def test_all_baselines_are_found(kept):
    """Those of all browsers and in all folders, and Needle's own; not what lies beside them, nor what is being written."""
    assert files_in(kept.folder) == []
    paths = [kept.write("home", "320", b""), kept.write("a/b", "320", b"")]
    paths.append(kept._replace(browser="firefox").write("home", "320", b""))
    for other in ("readme.txt", "chromium-linux/.home_320.png.7.part", "chromium-linux/.hidden.png", "of_needle.png"):
        (kept.folder / other).write_text("")
    assert files_in(kept.folder) == sorted([*paths, kept.folder / "of_needle.png"])
