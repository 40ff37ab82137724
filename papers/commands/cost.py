"""`iclproof cost`: what networks for f*_pi cost, without building them."""

from typing import Annotated

import typer
from rich.table import Table

from papers.commands.console import AsJson, output, print_json


def cost(
    dim: Annotated[int, typer.Option(help="d")] = 20,
    num_components: Annotated[int, typer.Option(help="m")] = 20,
    max_examples: Annotated[int, typer.Option(help="K")] = 60,
    order: Annotated[
        int, typer.Option(help="n of the square gadget, 2n neurons; 10 is the default in float64.")
    ] = 10,
    prior: Annotated[bool, typer.Option(help="Whether the prior weights differ.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print sizes, parameters and multiplications of the three designs, in closed form."""
    from constructions.cost_model import DESIGNS
    from constructions.cost_model import cost as cost_of

    found = [
        cost_of(dim, num_components, max_examples, design=design, order=order, prior=prior)
        for design in DESIGNS
    ]
    sizes = {"dim": dim, "num_components": num_components, "max_examples": max_examples}
    if as_json:
        designs = [design.as_dict() for design in found]
        print_json({**sizes, "order": order, "prior": prior, "designs": designs})
        return
    title = f"d = {dim:,}, m = {num_components:,}, K = {max_examples:,}, gadgets of order {order}"
    table = Table("figure", *DESIGNS, title=title)
    for name, shown in (
        ("layers", "layers"),
        ("heads", "heads of the widest layer"),
        ("width", "rows of the stream"),
        ("columns", "columns"),
        ("feed_forward_width", "neurons of the widest layer"),
        ("parameters", "parameters"),
        ("multiplications", "multiplications of a prompt"),
        ("largest_attention", "logits of a head"),
    ):
        table.add_row(shown, *(f"{getattr(design, name):,}" for design in found))
    output().print(table)
