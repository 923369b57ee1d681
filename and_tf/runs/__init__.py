"""One run and what it leaves: its config, its directory, its checkpoints, what it says.

Here the rooms below are put together for a command. No mathematics of the method stands here. `config`,
`commands`, `resuming` and `run_directory` do without TensorFlow, so that a command can refuse a
wrong config at once.

Other rooms use `assembly`, `checkpoints`, `commands`, `config`, `fitting`, `paths`, `precision`,
`resuming`, `run_directory` and `summary`.
"""
