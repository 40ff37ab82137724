import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.stored_folder import DamagedFolderError, read_folder, read_metadata, write_folder

FILES = {"weights.bin": bytes(range(7)), "notes.txt": b"", "empty": b"x"}
METADATA = {"step": 3, "lr": 1e-3, "name": "é", "sizes": [1, 2]}

names = st.text("abcXYZ0.-_ é", min_size=1, max_size=8).filter(lambda s: s.strip("."))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def hidden(parent: Path) -> list[Path]:
    return [child for child in parent.iterdir() if child.name.startswith(".")]


# Round trips


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(names, st.binary(), max_size=4), st.dictionaries(st.text(), json_values))
def test_a_folder_is_read_as_it_was_written(files, metadata):
    with TemporaryDirectory() as parent:
        path = Path(parent, "deep", "folder")
        assert write_folder(path, files, metadata) == path
        stored = read_folder(path)
        assert (stored.path, stored.files, stored.metadata) == (path.resolve(), files, metadata)
        assert read_metadata(path) == metadata
        assert not hidden(path.parent)


def test_a_stored_folder_is_replaced_whole(tmp_path):
    write_folder(tmp_path / "f", {"old": b"1"}, {"version": 1})
    write_folder(tmp_path / "f", {"new": b"2"}, {"version": 2})
    assert read_folder(tmp_path / "f").files == {"new": b"2"}
    assert [child.name for child in tmp_path.iterdir()] == ["f"]


def test_an_empty_folder_is_written_into(tmp_path):
    (tmp_path / "f").mkdir()
    write_folder(tmp_path / "f", FILES, METADATA)
    assert read_folder(tmp_path / "f").metadata == METADATA


def test_a_symbolic_link_is_written_through(tmp_path):
    write_folder(tmp_path / "real", FILES, {})
    (tmp_path / "link").symlink_to("real")
    write_folder(tmp_path / "link", {"a": b"1"}, {})
    assert (tmp_path / "link").is_symlink()
    assert read_folder(tmp_path / "real").files == {"a": b"1"}


# Refusals


def foreign_file(path):
    path.write_text("mine")


def foreign_folder(path):
    path.mkdir()
    (path / "thesis.tex").write_text("mine")


def stored_folder_with_a_foreign_file(path):
    write_folder(path, FILES, {})
    (path / "thesis.tex").write_text("mine")


def stored_folder_with_a_damaged_manifest(path):
    write_folder(path, FILES, {})
    (path / "manifest.json").write_text("{}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (foreign_file, "is a file, expected a folder; nothing was written"),
        (foreign_folder, r"not empty and not a readable stored folder .*manifest.json is missing"),
        (stored_folder_with_a_foreign_file, "holds thesis.tex beside its stored files"),
        (stored_folder_with_a_damaged_manifest, r"readable stored folder .*manifest.json is dama"),
    ],
)
def test_what_is_not_ours_is_never_overwritten(tmp_path, make, message):
    path = tmp_path / "f"
    make(path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match=message):
        write_folder(path, {"a": b"new"}, {})
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not hidden(tmp_path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a\0", "manifest.json", "Manifest.JSON"]
)
def test_a_file_name_that_is_not_plain_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be used as file names") as caught:
        write_folder(tmp_path / "f", {"fine": b"", name: b""}, {})
    assert repr(name) in str(caught.value)
    assert "'fine'" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (float("nan"), ValueError, r"metadata\['a'\]\[1\] is nan; expected a finite number"),
        (float("-inf"), ValueError, r"metadata\['a'\]\[1\] is -inf"),
        (object, TypeError, r"metadata\['a'\]\[1\] is <class 'object'> of type type; expected"),
        ({1: 2}, TypeError, r"metadata\['a'\]\[1\] has the key 1; expected text"),
    ],
)
def test_metadata_that_json_cannot_hold_are_refused(tmp_path, value, error, message):
    with pytest.raises(error, match=message):
        write_folder(tmp_path / "f", {}, {"a": [0, value]})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_folder(tmp_path / "f", FILES, {})
    assert not list(tmp_path.iterdir())


# Damage


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("pristine") / "f", FILES, METADATA)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), flip=st.integers(1, 255))
def test_a_flip_of_any_byte_is_detected(pristine, data, flip):
    damaged = data.draw(st.sampled_from(["weights.bin", "empty", "manifest.json"]))
    content = bytearray((pristine / damaged).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= flip
    with TemporaryDirectory() as parent:
        copy = shutil.copytree(pristine, Path(parent, "f"))
        (copy / damaged).write_bytes(content)
        with pytest.raises(DamagedFolderError, match=damaged):
            read_folder(copy)


def test_a_flip_at_any_place_of_the_manifest_is_detected(pristine, tmp_path):
    copy = shutil.copytree(pristine, tmp_path / "f")
    original = (copy / "manifest.json").read_bytes()
    for position in range(len(original)):
        for flip in (1, ord("a") ^ ord("A")):  # JSON reads "\u00e9" and "\u00E9" alike
            flipped = bytearray(original)
            flipped[position] ^= flip
            (copy / "manifest.json").write_bytes(flipped)
            with pytest.raises(DamagedFolderError, match=r"manifest\.json"):
                read_folder(copy)


def rewrite(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def other_version(folder):
    content = {"format": 99, "metadata": {}, "files": {}}
    (folder / "manifest.json").write_text(json.dumps({"content": content}))


def folder_for_file(folder):
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "notes.txt").unlink(), "notes.txt is missing"),
        (folder_for_file, "weights.bin is missing"),
        (rewrite("weights.bin", b"123456"), "weights.bin holds 6 bytes, but 7 were written"),
        (rewrite("weights.bin", b"1234567"), "weights.bin does not match its checksum"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (rewrite("manifest.json", b""), "manifest.json is damaged: it cannot be read"),
        (rewrite("manifest.json", b"[]"), "manifest.json is damaged: it cannot be read"),
        (rewrite("manifest.json", b'{"content": 3}'), "manifest.json is damaged"),
        (rewrite("manifest.json", b"[" * 100_000), "manifest.json is damaged"),
        (other_version, "manifest.json has the unknown format version 99, expected 1"),
    ],
)
def test_damage_is_named(pristine, tmp_path, damage, message):
    copy = shutil.copytree(pristine, tmp_path / "f")
    damage(copy)
    with pytest.raises(DamagedFolderError, match=message):
        read_folder(copy)


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no stored folder at .*/nowhere"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DamagedFolderError, match="not written by this store"):
        read_folder(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="there is no stored folder"):
        read_folder(tmp_path / "file" / "child")
