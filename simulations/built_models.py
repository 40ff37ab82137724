"""Hand-built transformers on disk: weights and mixture as safetensors, settings as JSON."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from constructions import Box, PosteriorMeanTransformer
from constructions.certificate import CertificateError
from constructions.gadgets import SquareGadget
from constructions.library.certified import certificate_document
from constructions.winged import WingedSquare
from simulations.stored_folder import DamagedFolderError, read_folder, write_folder
from theory import RegressionMixture

KIND = "posterior-mean"
WEIGHTS, MIXTURE = "weights.safetensors", "mixture.safetensors"
CERTIFICATE = "certificate.json"


def save_model(path: Path, network: PosteriorMeanTransformer) -> Path:
    """Write a network into a folder, atomically, with checksums.

    The folder holds ``weights.safetensors`` (the parameters, in the network's dtype, with the
    constants that stand beside a prompt and the units that rows are stored in),
    ``mixture.safetensors`` (components (m, d) and weights (m,), float64) and ``manifest.json``
    (settings, report, checksums). If the network has a certificate, ``certificate.json`` states it
    for `iclproof check`; networks without prefix columns have none.

    Raises
    ------
    FileExistsError
        If the path exists and is not a folder of this kind.
    """
    mixture = network.mixture
    arrays = {
        # Read-only views are not serialisable.
        "components": np.array(mixture.components),
        "weights": np.array(mixture.weights),
    }
    parameters = {name: p.detach().contiguous() for name, p in network.state_dict().items()}
    files = {
        WEIGHTS: safetensors.torch.save(parameters),
        MIXTURE: safetensors.numpy.save(arrays),
    }
    if (certificate := _certificate(network, files)) is not None:
        files[CERTIFICATE] = json.dumps(certificate, indent=1, allow_nan=False).encode()
    manifest = {"kind": KIND, **_settings(network), "report": network.report().as_dict()}
    return write_folder(path, files, manifest)


def load_model(path: Path) -> PosteriorMeanTransformer:
    """Read a network back; its predictions are bitwise those of the one that was saved.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    DamagedFolderError
        If a checksum fails, a file is missing, or the contents are not those of a model.
    """
    folder = read_folder(path)
    settings = folder.metadata
    if settings.get("kind") != KIND:
        raise DamagedFolderError(
            f"{path}: a folder of kind {settings.get('kind')!r}, expected {KIND!r}; "
            "build one with: iclproof build posterior-mean"
        )
    try:
        arrays = safetensors.numpy.load(folder.files[MIXTURE])
        parameters = safetensors.torch.load(folder.files[WEIGHTS])
        network = _rebuilt(arrays, settings)
        for name in ("constants", "units"):
            if not torch.equal(parameters[name], network.get_buffer(name)):
                raise ValueError(f"its settings do not fit its weights ({name} differ)")
        network.load_state_dict(parameters)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _damaged(path, error) from error
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from error
    return network


def _certificate(
    network: PosteriorMeanTransformer, files: Mapping[str, bytes]
) -> dict[str, Any] | None:
    """The certificate with the checksums of what it is about; None if there is none."""
    try:
        document = certificate_document(network)
    except CertificateError:
        return None
    sums = {
        f"{name.partition('.')[0]}_sha256": sha256(data).hexdigest() for name, data in files.items()
    }
    settings = {"noise_std": network.mixture.noise_std, "max_examples": network.max_examples}
    return {**document, **sums, **settings}


def _damaged(path: Path, error: Exception) -> DamagedFolderError:
    return DamagedFolderError(f"{path}: its contents are not those of a model: {error}")


def _settings(network: PosteriorMeanTransformer) -> dict[str, Any]:
    """What the network is built from, beside the mixture's arrays; `_rebuilt` reads it back."""
    box, square = network.box, network.square
    return {
        "noise_std": network.mixture.noise_std,
        "max_examples": network.max_examples,
        "layers": len(network.layers),
        "prefix_columns": network.stream.before > 0,
        "box": {
            "covariate_norm": box.covariate_norm,
            "covariate": box.covariate,
            "label": box.label,
        },
        "dtype": str(network.dtype).removeprefix("torch."),
        # As numbers, not as how they were found: a solver of another version finds others.
        "square": {
            "scales": square.scales.tolist(),
            "coefficients": square.coefficients.tolist(),
            "relative_error": square.relative_error,
        },
        "winged": None if network.winged is None else _winged_settings(network.winged),
    }


def _winged_settings(winged: WingedSquare) -> dict[str, Any]:
    core = winged.core
    return {
        "scales": core.scales.tolist(),
        "coefficients": core.coefficients.tolist(),
        "relative_error": core.relative_error,
        "shifts": winged.shifts.tolist(),
        "slopes": winged.slopes.tolist(),
        "wings": winged.coefficients.tolist(),
        "reach": winged.reach,
    }


def _square(settings: Mapping[str, Any]) -> SquareGadget:
    scales, coefficients = (
        np.array(settings[name], dtype=float) for name in ("scales", "coefficients")
    )
    return SquareGadget(scales, coefficients, settings["relative_error"])


def _winged(settings: Mapping[str, Any] | None) -> WingedSquare | None:
    if settings is None:
        return None
    shifts, slopes, wings = (
        np.array(settings[name], dtype=float) for name in ("shifts", "slopes", "wings")
    )
    return WingedSquare(_square(settings), shifts, slopes, wings, settings["reach"])


def _rebuilt(arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> PosteriorMeanTransformer:
    box = settings["box"]
    return PosteriorMeanTransformer(
        RegressionMixture(arrays["components"], settings["noise_std"], arrays["weights"]),
        settings["max_examples"],
        Box(box["covariate_norm"], box["label"], box["covariate"]),
        getattr(torch, settings["dtype"]),
        layers=settings["layers"],
        square=_square(settings["square"]),
        prefix_columns=settings["prefix_columns"],
        winged=_winged(settings.get("winged")),
    )
