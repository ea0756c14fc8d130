"""The demo: a whole o8 in a scratch folder, told as a story in five acts while visitors count every request.

`python -m lab.demo` goes on running until Ctrl-C; with `--once` it ends by itself, with 0 only if all was seen.
To add an act: a method of `Story` that returns what was seen or raises `NotSeen`, and its line in `Story.acts`.
"""
