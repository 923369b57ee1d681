"""What `python -m and_tf.export` is made of: a trained run in, numbered SavedModels out."""
