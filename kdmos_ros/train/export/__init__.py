"""From trained weights to a model folder and back: ONNX graphs, INT8, half precision."""
