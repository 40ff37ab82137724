import re

import pytest

from simulations.prompt_files import read_components, read_prompts

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
    path = tmp_path / "p.csv"
    path.write_bytes(b"\xef\xbb\xbf" + BY_HAND.replace("\n", "\r\n").encode())
    found = read_prompts(path)
    assert found.names == ("late", "alone", "the, longest", "twin")
    assert [group.prompts.num_examples for group in found.groups] == [0, 1, 2]
    assert [group.positions.tolist() for group in found.groups] == [[1], [0, 3], [2]]
    pairs = found.groups[1].prompts
    assert pairs.xs.tolist() == [[[1, 2], [-0.001, 0.5]], [[9, 10], [12, 13]]]
    assert pairs.ys.tolist() == [[3], [11]]
    sums = found.assemble([group.prompts.queries.sum(axis=1) for group in found.groups])
    assert sums.tolist() == [0.499, 15, 2, 25]


BAD_PROMPTS = [
    ("", "0 lines; expected a header"),
    ("prompt,x1,y\n", "1 lines; expected a header and at least one row"),
    (b"prompt,x1,y\n\xff,1,\n", "is not CSV in UTF-8"),
    ('prompt,x1,y\n"a,1,\n', "is not CSV in UTF-8: unexpected end of data"),
    ("prompt,x1,x3,y\na,1,2,\n", "line 1: the columns are prompt,x1,x3,y; expected prom"),
    ("\nprompt;x1;y\na;1;\n", "line 2: the columns are prompt;x1;y; expected prompt,x1"),
    ("prompt,y\na,\n", "line 1: the columns are prompt,y; expected prompt,x1,...,xd,y"),
    ("prompt,x1\na,\n", "line 1: the columns are prompt,x1; expected"),
    ("prompt\na\n", "line 1: the columns are prompt; expected"),
    ("prompt,x1,x2,y\na,1,2,3\n\na,1,\n", "line 4: 3 cells; expected 4: prompt,x1,x2,y"),
    ("prompt,x1,y\na,1,2,3\na,1,\n", "line 2: 4 cells; expected 3"),
    ("prompt,x1,x2,y\na,1,zwei,\n", "line 2, column x2 is 'zwei'; expected a finite num"),
    ("prompt,x1,y\na,nan,\n", "line 2, column x1 is 'nan'"),
    ("prompt,x1,y\na,,\n", "line 2, column x1 is ''"),
    ("prompt,x1,y\na,1,-inf\na,1,\n", "line 2, column y is '-inf'"),
    ("prompt,x1,y\na,1e999,\n", "line 2, column x1 is '1e999'"),
    ("prompt,x1,y\n,1,\n", "line 2, column prompt: empty; expected a name"),
    ("prompt,x1,y\na,1,\nb,1,\na,2,\n", "line 4, column prompt: 'a' starts again"),
    ("prompt,x1,y\na,1,2\na,2,3\n", "line 3, column y: '3' in the last row of prompt 'a'"),
    ("prompt,x1,y\na,1,\na,2,\n", "line 2, column y: empty, but prompt 'a' goes on"),
]


@pytest.mark.parametrize(("text", "message"), BAD_PROMPTS)
def test_a_bad_file_of_prompts_is_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / "p.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)


BAD_COMPONENTS = [
    ("w1,w3\n1,2\n", "line 1: the columns are w1,w3; expected w1,...,wd or w1,...,wd,wei"),
    ("weight\n1\n", "line 1: the columns are weight; expected"),
    ("weight,w1\n1,1\n", "line 1: the columns are weight,w1; expected"),
    ("w1,weight\n1,2\n1,x\n", "line 3, column weight is 'x'; expected a finite number"),
    ("w1,w2\n1\n", "line 2: 1 cells; expected 2: w1,w2"),
]


@pytest.mark.parametrize(("text", "message"), BAD_COMPONENTS)
def test_a_bad_file_of_components_is_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / "c.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_components(path)
    assert str(path) in str(caught.value)


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("prompt,x1,y\na,one,two\na,3,4\nb,nan,\na,5,\n")
    with pytest.raises(ValueError, match=r"5 problem\(s\)") as caught:
        read_prompts(path)
    for place in ("2, column x1", "2, column y", "3, column y", "4, column x1", "5, column prompt"):
        assert f"line {place}" in str(caught.value)
