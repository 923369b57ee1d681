"""What a report holds: from runs to sections of figures and tables, and to the page of them.

Each part of a report is a function that returns a `Section`, or None where a run has nothing for it.
What is measured comes from `and_tf.evaluation`, what is drawn from `and_tf.figures`.

Other rooms use `attention`, `closing`, `comparison`, `measured`, `report` and `requests`.
"""
