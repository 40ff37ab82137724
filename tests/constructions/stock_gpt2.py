"""GPT-2s with no weight that is special, and the stock model of their files."""

import torch
import transformers
from transformers import GPT2Model

from constructions.gpt2 import GPT2, GPT2Shape
from constructions.gpt2_files import saved_gpt2

transformers.utils.logging.disable_progress_bar()

#: Small; 21 and 3 x 15 are odd multiples of the heads.
SHAPES = {
    "erf": GPT2Shape(2, 3, 21, 45, "gelu"),
    "tanh": GPT2Shape(3, 2, 16, 64, "gelu_new"),
    "one head of five": GPT2Shape(1, 1, 5, 7, "gelu"),
}


def drawn_gpt2(shape, dim=4, positions=9, *, outputs=1, dtype=torch.float32, seed=0, dropout=0.0):
    """Biases and gains are drawn, too: as the model starts, they would hide a swap."""
    model = GPT2(shape, dim, positions, outputs, dropout).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = name.endswith("norm.weight")
            parameter.normal_(float(gain), 0.3, generator=generator)
    return model


def drawn_tokens(dim=4, columns=9, batch=3, *, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(batch, columns, dim, dtype=dtype).normal_(generator=generator)


def written(folder, files):
    folder.mkdir(exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
    return folder


def stock_of(model, folder, attn="eager"):
    """The stock model of the same weights, every one of which it must know."""
    stock, told = GPT2Model.from_pretrained(
        written(folder, saved_gpt2(model)),
        dtype=model.read_in.weight.dtype,
        attn_implementation=attn,
        output_loading_info=True,
    )
    assert not any(told.values()), told
    return stock.eval()


def embedded(model, tokens):
    """Tokens through the read-in, written out."""
    return tokens @ model.read_in.weight.detach().T + model.read_in.bias.detach()
