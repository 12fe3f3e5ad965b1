"""Makes the modules beside the tests, and the recorder of OTP, importable by their path."""

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]

for place in (str(_ROOT / "scripts"), str(Path(__file__).parent)):
    if place not in sys.path:
        sys.path.insert(0, place)
