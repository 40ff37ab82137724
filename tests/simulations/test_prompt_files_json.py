import json
import re

import pytest

from simulations.prompt_files import read_components, read_prompts


def test_a_json_file_may_mix_lengths_and_leave_out_names(tmp_path):
    records = [
        {"query": [1.5, 2], "examples": []},
        {"name": "b", "query": [3, 4], "examples": [{"x": [5, 6], "y": 7}]},
    ]
    path = tmp_path / "p.JSON"
    path.write_text(json.dumps(records))
    found = read_prompts(path)
    assert found.names == ("1", "b")
    assert [group.positions.tolist() for group in found.groups] == [[0], [1]]
    assert found.groups[0].prompts.xs.tolist() == [[[1.5, 2]]]
    assert found.groups[1].prompts.xs.tolist() == [[[5, 6], [3, 4]]]
    assert found.groups[1].prompts.ys.tolist() == [[7]]


BAD_PROMPTS = [
    ("[{]", "Expecting property name enclosed in double quotes: line 1 column 3"),
    (b"\xff", "is not JSON in UTF-8"),
    ("[" * 100_000, "is not JSON in UTF-8"),
    ("[]", "the file holds no prompts"),
    ("{}", "the file is {}; expected a list"),
    ("[3]", "[0] is 3; expected an object"),
    ('[{"examples": []}]', "[0] lacks query"),
    ('[{"exmaples": [], "query": [1]}]', "[0] has the unknown exmaples; expected exampl"),
    ('[{"name": 1, "examples": [], "query": [1]}]', "[0].name is 1; expected text"),
    ('[{"examples": 1, "query": [1]}]', "[0].examples is 1; expected a list"),
    ('[{"examples": [[1]], "query": [1]}]', "[0].examples[0] is [1]; expected an object"),
    ('[{"examples": [{"x": [1]}], "query": [1]}]', "[0].examples[0] lacks y"),
    ('[{"examples": [{"x": 1, "y": 1}], "query": [1]}]', "[0].examples[0].x is 1; exp"),
    ('[{"examples": [], "query": ["1"]}]', "[0].query[0] is '1'; expected a finite"),
    ('[{"examples": [], "query": [true]}]', "[0].query[0] is True; expected a finite"),
    ('[{"examples": [], "query": [NaN]}]', "[0].query[0] is nan; expected a finite"),
    (f'[{{"examples": [], "query": [{10**400}]}}]', "[0].query[0] is 1000"),
    ('[{"examples": [{"x": [1], "y": null}], "query": [1]}]', "examples[0].y is None"),
    ('[{"examples": [], "query": []}]', "[0].query is empty; expected at least one"),
    (
        '[{"examples": [], "query": [1]}, {"examples": [{"x": [1, 2], "y": 0}], "query": [1]}]',
        "[1].examples[0].x has length 2; expected 1, as [0].query",
    ),
    (
        '[{"examples": [], "query": [1]}, {"name": "1", "examples": [], "query": [1]}]',
        "[1].name: '1' is the name of [0]",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_PROMPTS)
def test_a_bad_file_of_prompts_is_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / "p.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)


BAD_COMPONENTS = [
    ("[]", "the file is []; expected an object"),
    ("{}", "the file lacks components"),
    (
        '{"components": [[1]], "weight": [1]}',
        "the unknown weight; expected components, w",
    ),
    ('{"components": []}', "components is empty"),
    ('{"components": [[]]}', "components[0] is empty"),
    ('{"components": [[1], [1, 2]]}', "components[1] has length 2; expected 1"),
    ('{"components": [[1], [Infinity]]}', "components[1][0] is inf"),
    ('{"components": [[1]], "weights": null}', "weights is None; expected a list"),
    ('{"components": [[1]], "weights": [1, 2]}', "weights: 2 for 1 components"),
]


@pytest.mark.parametrize(("text", "message"), BAD_COMPONENTS)
def test_a_bad_file_of_components_is_refused_with_the_place(tmp_path, text, message):
    path = tmp_path / "c.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_components(path)
    assert str(path) in str(caught.value)


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('[{"examples": [{"x": ["1"], "y": null}], "name": 2}, {"query": [1], "z": 0}]')
    with pytest.raises(ValueError, match=r"6 problem\(s\)") as caught:
        read_prompts(path)
    for problem in (
        "[0] lacks",
        "[0].examples[0].x[0]",
        "[0].examples[0].y",
        "[0].name",
        "[1] has",
    ):
        assert problem in str(caught.value)


def test_every_vector_of_another_length_is_told(tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"components": [[1], [1, 2], [], [3]]}')
    with pytest.raises(ValueError, match=r"2 problem\(s\)") as caught:
        read_components(path)
    assert "components[1] has length 2; expected 1" in str(caught.value)
    assert "components[2] has length 0; expected 1" in str(caught.value)
