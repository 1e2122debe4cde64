from __future__ import annotations

from hypothesis import settings

# Speed is measured elsewhere; a busy machine must not make a correct test fail.
settings.register_profile("s3", deadline=None, max_examples=60)
settings.load_profile("s3")
