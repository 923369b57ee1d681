"""Which devices and machines train, and what they tell each other.

Collective operations, shards of an array and the workers of a cluster stand here. What is computed
on the devices does not: nothing here knows of the objective or of the bank. `cluster` does without
TensorFlow, so that a command may read it first.

Other rooms use `cluster`, `devices`, `multi_worker`, `replicas`, `shards` and `workers`.
"""
