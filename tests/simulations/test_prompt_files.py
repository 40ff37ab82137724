import json
import math
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simulations.prompt_files import read_components, read_prompts, write_prompts
from theory.prompts import PromptBatch

SUFFIXES = (".npz", ".csv", ".json")
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def prompt_arrays(draw):
    size, k, d = draw(st.integers(1, 4)), draw(st.integers(0, 3)), draw(st.integers(1, 3))
    xs = draw(arrays(np.float64, (size, k + 1, d), elements=finite))
    return xs, draw(arrays(np.float64, (size, k), elements=finite))


def written(parent: Path, name: str, text: str | bytes) -> Path:
    path = parent / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Round trips


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=40)
@given(drawn=prompt_arrays())
def test_prompts_read_back_exactly(suffix, drawn):
    prompts = PromptBatch(*drawn)
    with TemporaryDirectory() as parent:
        path = Path(parent, "prompts" + suffix)
        write_prompts(path, prompts)
        found = read_prompts(path)
    assert found.names == tuple(str(i + 1) for i in range(prompts.batch_size))
    (group,) = found.groups
    assert group.positions.tolist() == list(range(prompts.batch_size))
    assert group.prompts.xs.tobytes() == prompts.xs.tobytes()
    assert group.prompts.ys.tobytes() == prompts.ys.tobytes()
    assert group.prompts.ys.shape == prompts.ys.shape


def components_as(suffix, path, components, weights):
    if suffix == ".npz":
        given = {} if weights is None else {"weights": weights}
        np.savez(path, components=components, **given)
    elif suffix == ".json":
        given = {} if weights is None else {"weights": weights.tolist()}
        path.write_text(json.dumps({"components": components.tolist(), **given}))
    else:
        header = [f"w{i + 1}" for i in range(components.shape[1])]
        rows = components.tolist()
        if weights is not None:
            header = [*header, "weight"]
            rows = [[*row, weight] for row, weight in zip(rows, weights.tolist(), strict=True)]
        lines = [header, *([repr(value) for value in row] for row in rows)]
        path.write_text("\n".join(map(",".join, lines)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), m=st.integers(1, 4), d=st.integers(1, 3), weighted=st.booleans())
def test_components_read_back_exactly(suffix, data, m, d, weighted):
    components = data.draw(arrays(np.float64, (m, d), elements=finite))
    weights = data.draw(arrays(np.float64, m, elements=finite)) if weighted else None
    with TemporaryDirectory() as parent:
        path = Path(parent, "components" + suffix)
        components_as(suffix, path, components, weights)
        found = read_components(path)
    assert found.components.dtype == np.float64
    assert found.components.tobytes() == components.tobytes()
    if weighted:
        assert found.weights.tobytes() == weights.tobytes()
    else:
        assert found.weights is None


# Prompts of different lengths

BY_HAND = """prompt,x1,x2,y
late,1,2,3
late,-1e-3,.5,
alone,7,8,

"the, longest",1,0,1
"the, longest",0,1,2
"the, longest",1,1,
twin, 9 , 10 ,11
twin,12,13,
"""


def test_prompts_of_different_lengths_are_grouped_and_put_back(tmp_path):
    # A byte order mark and Windows line ends are what spreadsheets write.
    text = b"\xef\xbb\xbf" + BY_HAND.replace("\n", "\r\n").encode()
    found = read_prompts(written(tmp_path, "p.csv", text))
    assert found.names == ("late", "alone", "the, longest", "twin")
    assert [group.prompts.num_examples for group in found.groups] == [0, 1, 2]
    assert [group.positions.tolist() for group in found.groups] == [[1], [0, 3], [2]]
    pairs = found.groups[1].prompts
    assert pairs.xs.tolist() == [[[1, 2], [-0.001, 0.5]], [[9, 10], [12, 13]]]
    assert pairs.ys.tolist() == [[3], [11]]
    sums = found.assemble([group.prompts.queries.sum(axis=1) for group in found.groups])
    assert sums.tolist() == [0.499, 15, 2, 25]


def test_a_json_file_may_mix_lengths_and_leave_out_names(tmp_path):
    records = [
        {"query": [1.5, 2], "examples": []},
        {"name": "b", "query": [3, 4], "examples": [{"x": [5, 6], "y": 7}]},
    ]
    found = read_prompts(written(tmp_path, "p.JSON", json.dumps(records)))
    assert found.names == ("1", "b")
    assert [group.positions.tolist() for group in found.groups] == [[0], [1]]
    assert found.groups[0].prompts.xs.tolist() == [[[1.5, 2]]]
    assert found.groups[1].prompts.xs.tolist() == [[[5, 6], [3, 4]]]
    assert found.groups[1].prompts.ys.tolist() == [[7]]


@pytest.mark.parametrize("shapes", [[1, 2], [1, 1, 1], [2, 1, 1, 1]])
def test_answers_that_do_not_fit_the_groups_are_refused(tmp_path, shapes):
    found = read_prompts(written(tmp_path, "p.csv", BY_HAND))
    with pytest.raises(ValueError, match=r"expected \[\(1,\), \(2,\), \(1,\)\]: one array for"):
        found.assemble([np.zeros(size) for size in shapes])


# Bad input

BAD_PROMPTS = [
    # CSV: the file as a whole
    ("p.csv", "", "0 lines; expected a header"),
    ("p.csv", "prompt,x1,y\n", "1 lines; expected a header and at least one row"),
    ("p.csv", b"prompt,x1,y\n\xff,1,\n", "is not CSV in UTF-8"),
    ("p.csv", 'prompt,x1,y\n"a,1,\n', "is not CSV in UTF-8: unexpected end of data"),
    # CSV: the header
    ("p.csv", "prompt,x1,x3,y\na,1,2,\n", "line 1: the columns are prompt,x1,x3,y; expected prom"),
    ("p.csv", "\nprompt;x1;y\na;1;\n", "line 2: the columns are prompt;x1;y; expected prompt,x1"),
    ("p.csv", "prompt,y\na,\n", "line 1: the columns are prompt,y; expected prompt,x1,...,xd,y"),
    ("p.csv", "prompt,x1\na,\n", "line 1: the columns are prompt,x1; expected"),
    ("p.csv", "prompt\na\n", "line 1: the columns are prompt; expected"),
    # CSV: the rows
    ("p.csv", "prompt,x1,x2,y\na,1,2,3\n\na,1,\n", "line 4: 3 cells; expected 4: prompt,x1,x2,y"),
    ("p.csv", "prompt,x1,y\na,1,2,3\na,1,\n", "line 2: 4 cells; expected 3"),
    ("p.csv", "prompt,x1,x2,y\na,1,zwei,\n", "line 2, column x2 is 'zwei'; expected a finite num"),
    ("p.csv", "prompt,x1,y\na,nan,\n", "line 2, column x1 is 'nan'"),
    ("p.csv", "prompt,x1,y\na,,\n", "line 2, column x1 is ''"),
    ("p.csv", "prompt,x1,y\na,1,-inf\na,1,\n", "line 2, column y is '-inf'"),
    ("p.csv", "prompt,x1,y\na,1e999,\n", "line 2, column x1 is '1e999'"),
    ("p.csv", "prompt,x1,y\n,1,\n", "line 2, column prompt: empty; expected a name"),
    ("p.csv", "prompt,x1,y\na,1,\nb,1,\na,2,\n", "line 4, column prompt: 'a' starts again"),
    ("p.csv", "prompt,x1,y\na,1,2\na,2,3\n", "line 3, column y: '3' in the last row of prompt 'a'"),
    ("p.csv", "prompt,x1,y\na,1,\na,2,\n", "line 2, column y: empty, but prompt 'a' goes on"),
    # JSON
    ("p.json", "[{]", "is not JSON in UTF-8: Expecting property name .* line 1 column 3"),
    ("p.json", b"\xff", "is not JSON in UTF-8"),
    ("p.json", "[" * 100_000, "is not JSON in UTF-8"),
    ("p.json", "[]", "the file holds no prompts"),
    ("p.json", "{}", "the file is {}; expected a list"),
    ("p.json", "[3]", "[0] is 3; expected an object"),
    ("p.json", '[{"examples": []}]', "[0] lacks query"),
    ("p.json", '[{"exmaples": [], "query": [1]}]', "[0] has the unknown exmaples; expected exampl"),
    ("p.json", '[{"name": 1, "examples": [], "query": [1]}]', "[0].name is 1; expected text"),
    ("p.json", '[{"examples": 1, "query": [1]}]', "[0].examples is 1; expected a list"),
    ("p.json", '[{"examples": [[1]], "query": [1]}]', "[0].examples[0] is [1]; expected an object"),
    ("p.json", '[{"examples": [{"x": [1]}], "query": [1]}]', "[0].examples[0] lacks y"),
    ("p.json", '[{"examples": [{"x": 1, "y": 1}], "query": [1]}]', "[0].examples[0].x is 1; exp"),
    ("p.json", '[{"examples": [], "query": ["1"]}]', "[0].query[0] is '1'; expected a finite"),
    ("p.json", '[{"examples": [], "query": [true]}]', "[0].query[0] is True; expected a finite"),
    ("p.json", '[{"examples": [], "query": [NaN]}]', "[0].query[0] is nan; expected a finite"),
    ("p.json", f'[{{"examples": [], "query": [{10**400}]}}]', "[0].query[0] is 1000"),
    ("p.json", '[{"examples": [{"x": [1], "y": null}], "query": [1]}]', "examples[0].y is None"),
    ("p.json", '[{"examples": [], "query": []}]', "[0].query is empty; expected at least one"),
    (
        "p.json",
        '[{"examples": [], "query": [1]}, {"examples": [{"x": [1, 2], "y": 0}], "query": [1]}]',
        "[1].examples[0].x has length 2; expected 1, as [0].query",
    ),
    (
        "p.json",
        '[{"examples": [], "query": [1]}, {"name": "1", "examples": [], "query": [1]}]',
        "[1].name: '1' is the name of [0]",
    ),
    # npz
    ("p.npz", "", "cannot be read as .npz: File is not a zip file"),
    ("p.npz", "text", "cannot be read as .npz"),
    # Any file
    ("p.txt", "", "has the suffix '.txt'; expected one of .npz, .csv, .json"),
    ("p", "", "has the suffix ''; expected one of .npz, .csv, .json"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_PROMPTS)
def test_a_bad_file_of_prompts_is_refused_with_the_place(tmp_path, name, text, message):
    path = written(tmp_path, name, text)
    with pytest.raises(ValueError, match=r".") as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)
    start, _, end = message.partition(" .* ")
    assert start in str(caught.value)
    assert end in str(caught.value)


BAD_COMPONENTS = [
    ("c.csv", "w1,w3\n1,2\n", "line 1: the columns are w1,w3; expected w1,...,wd or w1,...,wd,wei"),
    ("c.csv", "weight\n1\n", "line 1: the columns are weight; expected"),
    ("c.csv", "weight,w1\n1,1\n", "line 1: the columns are weight,w1; expected"),
    ("c.csv", "w1,weight\n1,2\n1,x\n", "line 3, column weight is 'x'; expected a finite number"),
    ("c.csv", "w1,w2\n1\n", "line 2: 1 cells; expected 2: w1,w2"),
    ("c.json", "[]", "the file is []; expected an object"),
    ("c.json", "{}", "the file lacks components"),
    (
        "c.json",
        '{"components": [[1]], "weight": [1]}',
        "the unknown weight; expected components, w",
    ),
    ("c.json", '{"components": []}', "components is empty"),
    ("c.json", '{"components": [[]]}', "components[0] is empty"),
    ("c.json", '{"components": [[1], [1, 2]]}', "components[1] has length 2; expected 1"),
    ("c.json", '{"components": [[1], [Infinity]]}', "components[1][0] is inf"),
    ("c.json", '{"components": [[1]], "weights": null}', "weights is None; expected a list"),
    ("c.json", '{"components": [[1]], "weights": [1, 2]}', "weights: 2 for 1 components"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_COMPONENTS)
def test_a_bad_file_of_components_is_refused_with_the_place(tmp_path, name, text, message):
    path = written(tmp_path, name, text)
    with pytest.raises(ValueError, match=r".") as caught:
        read_components(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


XS, YS = np.ones((2, 3, 1)), np.ones((2, 2))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"xs": XS}, "the archive lacks ys"),
        ({"xs": XS, "ys": YS, "zs": YS}, "the archive has the unknown zs; expected xs, ys"),
        ({"xs": XS, "ys": XS}, "ys has shape (2, 3, 1)"),
        ({"xs": XS, "ys": YS[:, :1]}, "ys has shape (2, 1)"),
        ({"xs": XS * math.nan, "ys": YS}, "xs[0, 0, 0] is nan"),
        ({"xs": XS * 1j, "ys": YS}, "xs has dtype complex128"),
        ({"xs": XS.astype(object), "ys": YS}, "Object arrays cannot be loaded"),
    ],
)
def test_bad_arrays_of_prompts_are_refused(tmp_path, stored, message):
    np.savez(tmp_path / "p.npz", **stored)
    with pytest.raises(ValueError, match=r"p\.npz") as caught:
        read_prompts(tmp_path / "p.npz")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"weights": YS[0]}, "the archive lacks components"),
        ({"components": YS, "weight": YS[0]}, "the archive has the unknown weight"),
        ({"components": XS}, "components has shape (2, 3, 1); expected a real array of shape (m,"),
        ({"components": YS[:0]}, "components has shape (0, 2); expected m >= 1 and d >= 1"),
        ({"components": YS, "weights": YS}, "weights has shape (2, 2)"),
        ({"components": YS, "weights": np.ones(3)}, "weights: 3 for 2 components"),
        ({"components": YS * math.inf}, "components[0, 0] is inf"),
    ],
)
def test_bad_arrays_of_components_are_refused(tmp_path, stored, message):
    np.savez(tmp_path / "c.npz", **stored)
    with pytest.raises(ValueError, match=r"c\.npz") as caught:
        read_components(tmp_path / "c.npz")
    assert message in str(caught.value)


def test_other_formats_of_numpy_are_not_taken_for_npz(tmp_path):
    with (tmp_path / "p.npz").open("wb") as file:
        np.save(file, XS)
    with pytest.raises(ValueError, match="not a zip file"):
        read_prompts(tmp_path / "p.npz")
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("xs", "text")
        archive.writestr("ys", "text")
    with pytest.raises(ValueError, match=r"p\.npz"):
        read_prompts(tmp_path / "p.npz")


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = written(tmp_path, "p.csv", "prompt,x1,y\na,one,two\na,3,4\nb,nan,\na,5,\n")
    with pytest.raises(ValueError, match=r"5 problem\(s\)") as caught:
        read_prompts(path)
    for place in ("2, column x1", "2, column y", "3, column y", "4, column x1", "5, column prompt"):
        assert f"line {place}" in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path, suffix):
    for read in (read_prompts, read_components):
        with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\."):
            read(tmp_path / f"nowhere{suffix}")


def test_prompts_are_not_written_in_an_unknown_format(tmp_path):
    with pytest.raises(ValueError, match=r"suffix '\.yaml'; expected one of \.npz, \.csv, \.json"):
        write_prompts(tmp_path / "p.yaml", PromptBatch(XS, YS))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_crashes(suffix, data):
    with TemporaryDirectory() as parent:
        path = Path(parent, "p" + suffix)
        write_prompts(path, PromptBatch(XS, YS))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with suppress(ValueError):
            read_prompts(path)
