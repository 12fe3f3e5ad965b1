"""`python -m poolproof`."""

import sys

from poolproof.cli import main

if __name__ == "__main__":
    sys.exit(main())
