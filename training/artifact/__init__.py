"""The model artifact: packing it, proving it, reading it back."""
