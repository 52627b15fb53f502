"""An exported network: its file checked, and run by ONNX Runtime."""
