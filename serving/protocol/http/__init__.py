"""Connections, headers and bodies: what is true of every HTTP request, whatever it asks."""
