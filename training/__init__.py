"""Photos in, a model artifact that proved itself out: ``./kennel fit`` and its like."""

import os

# PyTorch reads this when it is imported. Threads that spin at every barrier cost several times the work when another
# process wants the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
