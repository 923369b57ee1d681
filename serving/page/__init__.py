"""The page at `/`: its files, and the routes that are its own.

Everything else the page asks of the REST API, as any client would.

Other rooms use `routes`.
"""
