import math
import zipfile

import numpy as np
import pytest

from simulations.prompt_files import read_components, read_prompts

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


@pytest.mark.parametrize("text", ["", "text"])
def test_what_is_no_archive_is_refused(tmp_path, text):
    (tmp_path / "p.npz").write_text(text)
    with pytest.raises(ValueError, match=r"p\.npz cannot be read as \.npz: File is not a zip file"):
        read_prompts(tmp_path / "p.npz")


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
