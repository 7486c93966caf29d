"""tokenise_bulk: identifiers to tokens in requests of 128, both sides on one core, against the sum
of the group operations that it takes at the least."""

from __future__ import annotations

import os

from counterfoil import group, oprf

from .harness import Figure, compare

ELEMENTS = 128
REPEATS = 5


async def measure() -> Figure:
    """Tokens a second on one core: blind, evaluate with proof, verify, finalize."""
    secret, public = oprf.generate_key_pair()
    inputs = [b"bench" + os.urandom(16) for _ in range(ELEMENTS)]
    points = [group.point_from_uniform(os.urandom(64)) for _ in range(ELEMENTS)]
    scalar = group.random_scalar()

    async def run() -> int:
        blinded = [oprf.blind(text) for text in inputs]
        elements = [element for _, element in blinded]
        evaluated, proof = oprf.blind_evaluate(secret, elements)
        oprf.verify_proof(public, elements, evaluated, proof)
        for text, (blind, _), element in zip(inputs, blinded, evaluated, strict=True):
            oprf.token(oprf.finalize(text, blind, element))
        return ELEMENTS

    async def bare() -> int:
        # Per element: hash to the group, blind, evaluate, two for the composites of the prover,
        # two of the verifier, unblind.
        for point in points:
            group.point_from_uniform(os.urandom(64))
            for _ in range(7):
                group.multiply(scalar, point)
        return ELEMENTS

    return await compare("tokenise_bulk", "tokens/s", run, bare, repeats=REPEATS)
