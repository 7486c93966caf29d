"""`python -m demo`: five lenders, one gateway, real loans."""

import sys

from .run import main

if __name__ == "__main__":
    sys.exit(main())
