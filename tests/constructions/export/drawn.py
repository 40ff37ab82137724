"""Models to export, and prompts for them; the answers are theory's."""

import numpy as np

from constructions import compile_posterior_mean
from theory import RegressionMixture


def separated(d, m, sigma, seed=0):
    return RegressionMixture.random(m, d, sigma, np.random.default_rng(seed))


def undecided(d, m, sigma, num_examples, seed=0):
    """Components so close together that every score matters in every prompt."""
    rng = np.random.default_rng(seed)
    spread = sigma / num_examples**0.5
    centre = rng.normal(size=d)
    weights = rng.dirichlet(np.full(m, 5.0))
    return RegressionMixture(centre + spread * rng.normal(size=(m, d)), sigma, weights)


def drawn(mixture, num_examples, batch=50, **options):
    """A network, prompts and f*_pi at every prefix."""
    model = compile_posterior_mean(mixture, num_examples, **options)
    prompts = mixture.sample_prompts(batch, num_examples, np.random.default_rng(1))
    return model, prompts, mixture.posterior_mean_all_prefixes(prompts)
