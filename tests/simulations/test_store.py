import hashlib
import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.store import Store, default_root
from simulations.stored_folder import DamagedFolderError

FILES = {"weights.bin": bytes(range(7)), "empty": b"x"}


def set_aside(path: Path) -> None:
    path.rename(path.with_name(f".{path.name}.{0:020d}-0123456789abcdef.old"))


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


@given(
    st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers(), max_size=4), max_size=4)
)
def test_an_address_does_not_depend_on_the_order_of_keys(key):
    turned = {name: dict(reversed(part.items())) for name, part in reversed(key.items())}
    assert Store.address(turned) == Store.address(key)


def test_different_keys_have_different_addresses():
    keys = [None, True, 1, 1.0, "1", [], {}, [1], {"a": 1}, {"a": 1.5}, {"b": 1}, "", "é"]
    assert len({Store.address(key) for key in keys}) == len(keys)
    assert Store.address({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
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


def test_entries_are_reached_by_address_too(tmp_path):
    store = Store(tmp_path)
    assert store.addresses() == []
    for key in ("a", "b"):
        store.put(key, FILES)
    assert store.addresses() == sorted(map(Store.address, "ab"))
    assert store.key_at(Store.address("a")) == "a"
    (tmp_path / Store.address("a") / "manifest.json").write_text("{")
    with pytest.raises(DamagedFolderError, match=r"manifest\.json is damaged"):
        store.key_at(Store.address("a"))
    with pytest.raises(FileNotFoundError, match="there is no stored folder"):
        store.key_at(Store.address("c"))
    for key in "aac":
        store.remove_at(Store.address(key))
    assert store.addresses() == [Store.address("b")]


def test_an_entry_that_lies_aside_is_still_an_entry(tmp_path):
    store = Store(tmp_path)
    path = store.put("key", FILES)
    set_aside(path)
    assert "key" in store
    assert store.keys() == ["key"]
    assert store.get("key").files == FILES
    store.clean(older_than=0.0)
    assert path.exists()
    set_aside(path)
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
