"""The laboratory's web application: `server` runs in a container, `image` makes images of it.

All but `image` use the standard library only, as the image holds nothing but Debian's Python.
"""
