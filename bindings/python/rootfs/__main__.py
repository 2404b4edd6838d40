"""``python -m rootfs``: plan, validate, verify, features and run a bundle."""

import sys

from ._cli.main import main

sys.exit(main())
