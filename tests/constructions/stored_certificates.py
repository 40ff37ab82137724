"""Model folders with certificates, written by hand: what the checker's tests read and damage."""

import hashlib
import json

import numpy as np
import safetensors.numpy
import torch

FILES = ("weights.safetensors", "mixture.safetensors")


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def arrays_of(network):
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def layout_of(network):
    """The rows by the roles that the wires of a three-layer network have, in order."""
    _, label, *others = [
        [int(row) for rows in network.allocation.all_rows(wire) for row in rows]
        for wire in network.wires
    ]
    roles = ("image", "square", "score", "mixture", "answer")
    stream, d = network.stream, network.circuit.prompt.dim
    assert label == [0]
    return (
        dict(zip(roles, others, strict=True))
        | {
            "token": list(range(d)),
            "zero": stream.zero,
            "plus": stream.plus,
            "minus": stream.minus,
        }
        | ({} if network.winged is None else {"one": stream.one()})
    )


def settings_of(network):
    box = network.box
    return {
        "noise_std": float(network.mixture.noise_std),
        "max_examples": network.max_examples,
        "dtype": str(network.dtype).removeprefix("torch."),
        "box": {
            "covariate_norm": float(box.covariate_norm),
            "covariate": float(box.covariate),
            "label": float(box.label),
        },
    }


def claim(value):
    """Bounds and a tree that bears them."""
    leaf = {"name": "everything", "rule": "leaf", "value": value, "parts": []}
    names = ("box", "explained")
    tree = {n: {"name": n, "rule": "sum", "value": value, "parts": [leaf]} for n in names}
    return {"bounds": dict.fromkeys(names, value), "tree": tree}


def write(folder, network, claimed=1e300):
    """Write a model folder with a certificate that claims a bound."""
    folder.mkdir(exist_ok=True)
    mixture = network.mixture
    double = network.dtype == torch.float64
    safetensors.numpy.save_file(arrays_of(network), folder / FILES[0])
    safetensors.numpy.save_file(
        {"components": np.array(mixture.components), "weights": np.array(mixture.weights)},
        folder / FILES[1],
    )
    certificate = {
        "version": 1,
        **settings_of(network),
        "layout": layout_of(network),
        "assumptions": {
            "unit_roundoff": 2.0**-53 if double else 2.0**-24,
            "gelu": 2.0 if double else 6.0,
            "exp": 2.0,
            "silent": 9.0 if double else 6.0,
        },
        **claim(claimed),
    }
    (folder / "certificate.json").write_text(json.dumps(certificate))
    (folder / "manifest.json").write_text(json.dumps({"content": {"metadata": {}}}))
    sign(folder, settings_of(network))
    return folder


def sign(folder, settings=None):
    """Make all checksums fit the files as they are; optionally with other settings."""
    content = json.loads((folder / "manifest.json").read_text())["content"]
    certificate = json.loads((folder / "certificate.json").read_text())
    certificate |= {"weights_sha256": sha(folder / FILES[0])}
    certificate |= {"mixture_sha256": sha(folder / FILES[1])}
    (folder / "certificate.json").write_text(json.dumps(certificate))
    content = {
        "format": 1,
        "metadata": content["metadata"] if settings is None else settings,
        "files": {name: {"sha256": sha(folder / name), "size": 0} for name in FILES},
    }
    whole = json.dumps(content, sort_keys=True).encode()
    manifest = {"checksum": hashlib.sha256(whole).hexdigest(), "content": content}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_arrays(folder, change, name=FILES[0]):
    """Apply a change to the arrays of a file, and make the checksums fit."""
    arrays = safetensors.numpy.load_file(folder / name)
    change(arrays)
    safetensors.numpy.save_file(arrays, folder / name)
    sign(folder)


def change_certificate(folder, change, also_manifest=False):
    """Apply a change to the certificate, and to the manifest's settings if asked for."""
    certificate = json.loads((folder / "certificate.json").read_text())
    change(certificate)
    (folder / "certificate.json").write_text(json.dumps(certificate))
    settings = json.loads((folder / "manifest.json").read_text())["content"]["metadata"]
    if also_manifest:
        change(settings)
    sign(folder, settings)
