"""The modules of this folder import each other by name, as they do when it is run as a program."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
