"""The exact risk of a linear self-attention layer with u_12 = u_21 = 0 on new prompts."""

from theory.risk.label_moments import LabelMoments
from theory.risk.linear_risk import (
    QueryMoments,
    RiskBreakdown,
    SampledRisk,
    linear_risk,
    risk_from_samples,
    shifted_risk,
    theorem_5_bias,
)
from theory.risk.random_covariance import RandomCovarianceRisk, random_covariance_risk
from theory.risk.risk_chain import ExpectedRiskChain, WeightRiskChain, expected_chain, weight_chain

__all__ = [
    "ExpectedRiskChain",
    "LabelMoments",
    "QueryMoments",
    "RandomCovarianceRisk",
    "RiskBreakdown",
    "SampledRisk",
    "WeightRiskChain",
    "expected_chain",
    "linear_risk",
    "random_covariance_risk",
    "risk_from_samples",
    "shifted_risk",
    "theorem_5_bias",
    "weight_chain",
]
