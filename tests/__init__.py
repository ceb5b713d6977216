"""Tests, laid out like what they test."""

import os

# Before torch is imported, here and in all that tests start: their networks are too small to share, and threads that
# wait for one another take the other processor from the workers beside them. Tests of threads set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
