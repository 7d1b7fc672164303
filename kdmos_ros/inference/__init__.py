"""Models in ONNX Runtime: the model folder, providers, precision, sessions."""
