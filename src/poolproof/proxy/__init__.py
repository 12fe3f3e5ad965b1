"""A proxy that stands between any client and any service, and harms what passes: bytes, frames, connections.

User-space, asyncio, seeded; on real sockets and in a simulation alike. See docs/faults.md.
"""

from poolproof.proxy.connection import Connection, Direction
from poolproof.proxy.framing import FRAMINGS, OURS, Cutter, Framing, LengthPrefixed, Raw, Resp
from poolproof.proxy.groups import Groups
from poolproof.proxy.listener import Address
from poolproof.proxy.proxy import Proxy
from poolproof.proxy.receipts import Receipt, Receipts
from poolproof.proxy.spoiling import Spoiling
from poolproof.proxy.travel import Travel

__all__ = [
    "FRAMINGS",
    "OURS",
    "Address",
    "Connection",
    "Cutter",
    "Direction",
    "Framing",
    "Groups",
    "LengthPrefixed",
    "Proxy",
    "Raw",
    "Receipt",
    "Receipts",
    "Resp",
    "Spoiling",
    "Travel",
]
