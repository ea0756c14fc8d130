"""The laboratory's web application: `server` runs in a container, `image` makes images of it."""
