import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simulations.matrix_files import read_matrix

MATRIX = np.array([[1.0, -2.5], [3e-3, 4.0]])


@pytest.mark.parametrize(
    "text",
    ["1,-2.5\n3e-3,4\n", "\ufeff1,-2.5\r\n\r\n3e-3,4", "1 -2.5\n0.003 4.0\n", "1; -2.5\n.003;4"],
)
def test_text(tmp_path, text):
    path = tmp_path / "matrix.csv"
    path.write_bytes(text.encode())
    assert_array_equal(read_matrix(path), MATRIX)


def test_what_numpy_writes(tmp_path):
    np.save(tmp_path / "matrix.npy", MATRIX)
    np.savetxt(tmp_path / "matrix.txt", MATRIX)
    (tmp_path / "matrix.json").write_text(json.dumps(MATRIX.tolist()))
    for name in ("matrix.npy", "matrix.txt", "matrix.json"):
        assert_array_equal(read_matrix(tmp_path / name), MATRIX)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"1,2\n3,x\n", r"a.csv, line 2: could not convert"),
        ("a.csv", b"1,2\n\n3\n", r"a.csv, line 3 has 1 numbers and the rows before 2"),
        ("a.csv", b"", r"a.csv holds an array of shape \(0,\)"),
        ("a.csv", b"\xff\xfe\x00", r"a.csv is not a text file"),
        ("a.json", b"[[1, 2], [3]]", r"a.json: .*expected a list of rows"),
        ("a.json", b"{", r"a.json: .*expected a list of rows"),
        ("a.json", b"[1, 2]", r"expected a\n? ?real matrix"),
        ("a.npy", b"no", r"."),
    ],
)
def test_what_is_no_matrix(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_matrix(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_matrix(tmp_path / "none.csv")
