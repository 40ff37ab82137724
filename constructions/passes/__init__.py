"""The compiler's passes, in order: lift, validate, unroll, fold_linear, schedule, ranges, allocate.

`constructions.compiled_circuit` drives them. Each pass takes a circuit, or what the pass before it
made of one, and its result can be run, so that stages can be compared.
"""
