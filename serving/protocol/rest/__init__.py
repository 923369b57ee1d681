"""TensorFlow Serving's REST API: its routes, and JSON to arrays and back."""
