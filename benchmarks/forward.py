"""How fast a built network is: to compile, and to run beside stock GPT-2 of the same shape.

    .venv/bin/python benchmarks/forward.py [--json]

Every ratio is of medians over repetitions that alternate, in this process, on one thread, in
seconds of processor time, which another busy process does not stretch. Exit code 1 if a limit is
missed: compiling d = m = 20, K = 60 takes at least a second, or a forward pass takes longer than
GPT-2's.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import GPT2Config, GPT2Model

from constructions import PosteriorMeanTransformer, compile_posterior_mean
from constructions.library.posterior_mean_transformer import NumLayers
from theory import RegressionMixture

#: Seconds that compiling three layers for d = m = 20 and K = 60 may take.
COMPILE_LIMIT = 1.0
BATCH = 16
REPETITIONS = 9


@dataclass(frozen=True)
class Setting:
    """A network: d, m, K, its layers, and the float type."""

    dim: int
    num_components: int
    max_examples: int
    layers: NumLayers
    dtype: torch.dtype

    def mixture(self) -> RegressionMixture:
        """The mixture, the same every time."""
        return RegressionMixture.random(
            self.num_components, self.dim, 1.0, np.random.default_rng(0)
        )

    def build(self) -> PosteriorMeanTransformer:
        """Compile the network."""
        return compile_posterior_mean(
            self.mixture(), self.max_examples, dtype=self.dtype, layers=self.layers
        )

    def __str__(self) -> str:
        """Read as the first column of the table."""
        sizes = f"d={self.dim} m={self.num_components} K={self.max_examples}"
        return f"{sizes}, {self.layers} layers, {str(self.dtype).removeprefix('torch.')}"


SIZES: list[tuple[int, int, int, NumLayers]] = [
    (20, 20, 60, 3), (5, 5, 20, 3), (5, 5, 20, 2), (20, 20, 10, 2)
]  # fmt: skip
SETTINGS = [
    Setting(d, m, k, layers, dtype)
    for d, m, k, layers in SIZES
    for dtype in (torch.float64, torch.float32)
]


@dataclass(frozen=True)
class Forward:
    """Milliseconds of a forward pass on a batch, ours and GPT-2's.

    ``gpt2`` has our width, layers and columns, one head, and our widest feed-forward part in every
    layer, the least that could hold our weights. ``lean_gpt2`` has feed-forward parts that add up
    to ours and no more.
    """

    setting: str
    width: int
    columns: int
    heads: int
    ours: float
    gpt2: float
    lean_gpt2: float

    @property
    def ratio(self) -> float:
        """Ours to GPT-2's."""
        return self.ours / self.gpt2


def medians(*calls: Callable[[], object]) -> list[float]:
    """Return the median milliseconds of each call; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for repetition in range(REPETITIONS + 1):
        for call, held in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            if repetition:  # the first one warms up
                held.append(1e3 * (time.process_time() - start))
    return [statistics.median(held) for held in times]


def stock_gpt2(network: PosteriorMeanTransformer, inner: int) -> GPT2Model:
    """Return GPT-2 of the network's width, layers, columns and float type, with random weights."""
    config = GPT2Config(
        vocab_size=1,
        n_positions=network.stream.num_columns,
        n_embd=network.stream.num_rows,
        n_layer=len(network.layers),
        n_head=1,
        n_inner=inner,
        activation_function="gelu",  # the erf one, as ours; gelu_new is slower
        attn_implementation="sdpa",
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    return GPT2Model(config).to(network.dtype).eval()


def forward(setting: Setting) -> Forward:
    """Time a forward pass of a network and of its two peers."""
    network = setting.build()
    prompts = setting.mixture().sample_prompts(
        BATCH, setting.max_examples, np.random.default_rng(1)
    )
    state = network.embed(prompts.interleaved())
    widths = [layer.inward.shape[0] for layer in network.layers]
    same, lean = (
        stock_gpt2(network, inner) for inner in (max(widths), -(-sum(widths) // len(widths)))
    )
    columns = state.transpose(1, 2).contiguous()
    with torch.no_grad():
        times = medians(
            lambda: network(state),
            lambda: same(inputs_embeds=columns),
            lambda: lean(inputs_embeds=columns),
        )
    heads = max(layer.query.shape[0] for layer in network.layers)
    return Forward(str(setting), state.shape[1], state.shape[2], heads, *times)


def prefixes(setting: Setting) -> tuple[float, float]:
    """Milliseconds for all prefixes of a batch in one pass, and in K + 1 calls, the input built."""
    network = setting.build()
    prompts = setting.mixture().sample_prompts(
        BATCH, setting.max_examples, np.random.default_rng(1)
    )
    starts = [prompts.prefix(k) for k in range(setting.max_examples + 1)]
    together, apart = medians(
        lambda: network.predict_all_prefixes(prompts),
        lambda: [network.predict(start) for start in starts],
    )
    return together, apart


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description="Compile and forward times, beside GPT-2's.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    torch.set_num_threads(1)
    largest = SETTINGS[0]
    (compiled,) = medians(largest.build)
    rows = [forward(setting) for setting in SETTINGS]
    together, apart = prefixes(largest)
    passes = compiled < 1e3 * COMPILE_LIMIT and all(row.ratio <= 1 for row in rows)
    if as_json:
        data = {
            "passes": passes,
            "compile_ms": compiled,
            "forward": [asdict(row) | {"ratio": row.ratio} for row in rows],
            "all_prefixes": {"one_pass_ms": together, "separate_calls_ms": apart},
        }
        print(json.dumps(data, indent=2))
    else:
        print(f"compile {largest}: {compiled:.0f} ms (limit {1e3 * COMPILE_LIMIT:.0f} ms)\n")
        print(f"forward, batch of {BATCH}: ms{'':28} p   q heads   ours  GPT-2  ratio  lean ratio")
        for row in rows:
            sizes = f"{row.width:4} {row.columns:3} {row.heads:5}"
            times = f"{row.ours:6.1f} {row.gpt2:6.1f} {row.ratio:6.2f}"
            print(f"{row.setting:48} {sizes} {times} {row.ours / row.lean_gpt2:11.2f}")
        print(
            f"\nall {largest.max_examples + 1} prefixes, {largest}, batch of {BATCH}: one pass "
            f"{together:.0f} ms, separate calls {apart:.0f} ms: {apart / together:.1f} times"
        )
    sys.exit(0 if passes else 1)


if __name__ == "__main__":
    main()
