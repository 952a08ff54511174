"""Photos in, a model artifact that proved itself out: ``python -m training``."""
