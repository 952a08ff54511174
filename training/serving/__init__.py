"""What travels inside the artifact and answers requests: numpy, Pillow and onnxruntime, no PyTorch."""
