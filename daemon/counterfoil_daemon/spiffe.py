"""Who is calling: the SPIFFE ID in the certificate of an mTLS connection."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from counterfoil.errors import CounterfoilError, Reason

_ID = re.compile(r"spiffe://([a-z0-9-]{1,63})/lender/([a-z0-9-]{1,63})")


def spiffe_id(network: str, lender: str) -> str:
    """`spiffe://<network>/lender/<lender>`: the one URI SAN of a member's certificate."""
    return f"spiffe://{network}/lender/{lender}"


def peer_lender(context: Any, network: str) -> str:
    """The lender on the other end of a call on the mTLS port.

    Raises LENDER_UNKNOWN without exactly one such name, NETWORK_MISMATCH for another network's.
    """
    names: Iterable[bytes] = context.auth_context().get("x509_subject_alternative_name", ())
    texts = [name.decode("ascii", "replace") for name in names]
    found = _ID.fullmatch(texts[0]) if len(texts) == 1 else None
    if found is None:
        raise CounterfoilError(
            Reason.LENDER_UNKNOWN, "the certificate does not name a lender", field="certificate"
        )
    if found[1] != network:
        raise CounterfoilError(
            Reason.NETWORK_MISMATCH, "the certificate is of another network", field="certificate"
        )
    return found[2]
