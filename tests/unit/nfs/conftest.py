"""Lets these tests import `nfs_client`, which lies in the folder of all tests."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[2]))

# A shared machine stops for longer than any deadline; what may take how long is asserted where it matters.
settings.register_profile("nfs", deadline=None)
settings.load_profile("nfs")
