"""What holds for every test."""

import os

# Tests that import onnxruntime by themselves: see training/serving/inference.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
