import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations import store as module
from simulations.store import (
    DamagedFolderError,
    Store,
    clean_leftovers,
    default_root,
    read_folder,
    write_folder,
)

ROOT = Path(__file__).parents[2]
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
    def full(folder):
        raise OSError("disk full")

    monkeypatch.setattr(module, "_sync_folder", full)
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
    (folder / "manifest.json").write_bytes(module._encode(content))


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


# Kills

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from simulations.store import write_folder

root, step = sys.argv[1], int(sys.argv[2])
seen = 0

def kill(event, arguments):
    global seen
    if any(str(argument).startswith(root) for argument in arguments):
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
write_folder(Path(root, "f"), {"a": b"new", "b": b"new"}, {})
"""

KILLED_SOME_TIME = """
import sys
from itertools import count
from pathlib import Path
from simulations.store import write_folder

for version in count(1):
    content = str(version).encode() * 100_000
    write_folder(Path(sys.argv[1], "f"), {str(i): content for i in range(20)}, {"v": version})
    print(version, flush=True)
"""


def python(script, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, **options)


def test_a_kill_at_any_step_of_a_replacement_loses_nothing(tmp_path):
    old, new = {"a": b"old", "b": b"old"}, {"a": b"new", "b": b"new"}
    outcomes = []
    lay_aside = 0
    for step in range(1, 100):
        parent = tmp_path / str(step)
        write_folder(parent / "f", old, {})
        code = python(KILLED_AT, str(parent), str(step)).wait(timeout=30)
        outcomes.append(read_folder(parent / "f").files)
        lay_aside += not (parent / "f").exists()
        clean_leftovers(parent, older_than=0.0)
        assert [child.name for child in parent.iterdir()] == ["f"]
        assert read_folder(parent / "f").files == outcomes[-1]
        if code == 0:
            break
        assert code == -signal.SIGKILL
    switch = outcomes.index(new)
    assert outcomes == [old] * switch + [new] * (len(outcomes) - switch)
    assert lay_aside > 0, "no kill fell between the two renames"
    assert switch > 5
    assert len(outcomes) > switch + 1, "no kill fell after the second rename"


def test_a_kill_at_some_time_leaves_one_whole_version(tmp_path):
    for delay in (0.0, 0.013, 0.05, 0.09, 0.17):
        child = python(KILLED_SOME_TIME, str(tmp_path), stdout=subprocess.PIPE)
        with child:
            child.stdout.readline()
            time.sleep(delay)
            child.kill()
            last = int((child.stdout.read().split() or [b"1"])[-1])
        stored = read_folder(tmp_path / "f")
        assert stored.metadata["v"] >= last
        assert set(stored.files.values()) == {str(stored.metadata["v"]).encode() * 100_000}
    clean_leftovers(tmp_path, older_than=0.0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert read_folder(tmp_path / "f").metadata == stored.metadata


def test_the_next_write_supersedes_what_lies_aside(tmp_path):
    write_folder(tmp_path / "f", {"a": b"old"}, {})
    aside = (tmp_path / "f").rename(module._sibling(tmp_path / "f", "old"))
    assert read_folder(tmp_path / "f").path == aside
    write_folder(tmp_path / "f", {"a": b"new"}, {})
    assert [child.name for child in tmp_path.iterdir()] == ["f"]


def test_young_left_overs_and_other_files_are_not_cleaned(tmp_path):
    young = module._sibling(tmp_path / "f", "tmp")
    young.mkdir()
    (tmp_path / ".bashrc.tmp").mkdir()
    assert clean_leftovers(tmp_path) == ()
    assert clean_leftovers(tmp_path, older_than=0.0) == (young,)
    assert [child.name for child in tmp_path.iterdir()] == [".bashrc.tmp"]
    assert clean_leftovers(tmp_path / "nowhere") == ()


# The store


def test_an_entry_is_found_by_its_key(tmp_path):
    store = Store(tmp_path / "cache")
    key = {"d": 2, "sizes": (1, 2)}
    assert store.get(key) is None
    assert key not in store
    assert store.keys() == store.verify() == []
    assert store.put(key, FILES) == store.root / Store.address(key)
    assert key in store
    assert store.get({"sizes": [1, 2], "d": 2}).files == FILES
    assert store.keys() == [{"d": 2, "sizes": [1, 2]}]
    store.put(key, {"a": b"newer"})
    assert store.get(key).files == {"a": b"newer"}
    store.remove(key)
    store.remove(key)
    assert store.get(key) is None
    assert not list(store.root.iterdir())


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), json_values), st.randoms())
def test_an_address_does_not_depend_on_the_order_of_keys(key, random):
    items = list(key.items())
    random.shuffle(items)
    assert Store.address(dict(items)) == Store.address(key)


def test_different_keys_have_different_addresses():
    keys = [None, True, 1, 1.0, "1", [], {}, [1], {"a": 1}, {"a": 1.5}, {"b": 1}, "", "é"]
    assert len({Store.address(key) for key in keys}) == len(keys)
    assert Store.address({"a": 1}) == module._sha256(b'{"a":1}')
    with pytest.raises(ValueError, match=r"key\['sigma'\] is nan; expected a finite number"):
        Store.address({"sigma": float("nan")})


def test_verify_names_every_damaged_entry_and_remove_takes_it_away(tmp_path):
    store = Store(tmp_path)
    for key in range(4):
        store.put(key, FILES)
    (tmp_path / Store.address(0) / "empty").write_bytes(b"y")
    (tmp_path / Store.address(1) / "manifest.json").unlink()
    moved = tmp_path / Store.address(2)
    moved.rename(tmp_path / Store.address("other"))
    (tmp_path / "README").write_text("not an entry")
    problems = " | ".join(sorted(store.verify()))
    assert len(store.verify()) == 3
    assert "empty does not match its checksum" in problems
    assert "manifest.json is missing" in problems
    assert "holds the key 2, which does not belong at this address" in problems
    for key in (0, 1, "other"):
        with pytest.raises(DamagedFolderError):
            store.get(key)
        store.remove(key)
    assert store.verify() == []
    assert store.keys() == [3]
    assert (tmp_path / "README").exists()


def test_an_entry_that_lies_aside_is_still_an_entry(tmp_path):
    store = Store(tmp_path)
    path = store.put("key", FILES)
    path.rename(module._sibling(path, "old"))
    assert "key" in store
    assert store.keys() == ["key"]
    assert store.get("key").files == FILES
    store.clean(older_than=0.0)
    assert path.exists()
    path.rename(module._sibling(path, "old"))
    store.remove("key")
    assert store.get("key") is None


def put_often(root: Path, author: bytes, together: Barrier) -> None:
    store = Store(root)
    together.wait(timeout=60)
    for _ in range(150):
        store.put("key", {str(i): author * 1000 for i in range(5)})


def test_processes_that_put_one_key_at_once_never_show_a_torn_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    writers = [
        context.Process(target=put_often, args=(tmp_path, author, together))
        for author in (b"A", b"B")
    ]
    for writer in writers:
        writer.start()
    store, reads = Store(tmp_path), set()
    while any(writer.is_alive() for writer in writers):
        if reads:
            assert store.verify() == []
        if (stored := store.get("key")) is not None:
            assert len(set(stored.files.values())) == 1
            reads |= set(stored.files.values())
        else:
            assert not reads, "an entry vanished while it was replaced"
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert reads == {b"A" * 1000, b"B" * 1000}
    assert [child.name for child in tmp_path.iterdir()] == [Store.address("key")]


def test_the_default_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("ICLPROOF_STORE", raising=False)
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_root() == tmp_path / ".cache" / "iclproof"
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/iclproof")
    monkeypatch.setenv("ICLPROOF_STORE", os.fspath(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
