"""TensorFlow Serving's gRPC services: the port, the calls, and tensors to arrays and back."""
