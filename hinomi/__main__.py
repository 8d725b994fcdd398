"""``python -m hinomi``."""

import sys

from hinomi.cli import main

sys.exit(main())
