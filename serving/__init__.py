"""Serving trained encoders: an embedded server of TensorFlow Serving's protocol, and its client.

Nothing here imports anything of `and_tf`: an export's `assets.extra/and_tf.json` is all they share.
"""
