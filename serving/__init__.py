"""Serving trained encoders: an embedded server of TensorFlow Serving's protocol, and its client."""
