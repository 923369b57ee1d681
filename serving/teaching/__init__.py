"""Labelled images that become rows of a model's bank while it serves.

The routes, the thread that embeds and commits, the rows on disk and the variables of the graph that
hold them. Only exports that say so in their `assets.extra` can be taught.

Other rooms use `export_facts`, `rows_api` and `teachers`.
"""
