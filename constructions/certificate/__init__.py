"""Bounds on what a network's answer can differ from the circuit it was compiled from.

The mathematics is in docs/certificates.md. `rounding` states the model of float arithmetic,
`squares` encloses the gadget, `selection` proves what heads with constant logits do, `sizes` says
how large values are (in a box, or at one prompt), `analysis` composes the bound wire by wire, and
`bounds` is the tree that is stored.
"""

from constructions.certificate.bounds import Bound, Certificate, CertificateError

__all__ = ["Bound", "Certificate", "CertificateError"]
