"""Models, their versions, and the loaded SavedModels that answer.

Batching, loading, checking and swapping versions stand here. Nothing here knows which protocol a
request came by, or that a model can be taught.

Other rooms use `batching`, `batching_settings`, `examples`, `model_config`, `models`, `servable` and
`served_version`.
"""
