"""From a run to a numbered SavedModel for serving, and to ONNX and LiteRT.

What `python -m and_tf.export` is made of stands here, with the graph of an export and the checks that
it passes before it appears. Nothing here trains, and nothing here serves.

Other rooms use `portable`, `rows`, `saved_model`, `thumbnails`, `trained_encoder` and `version_folder`.
"""
