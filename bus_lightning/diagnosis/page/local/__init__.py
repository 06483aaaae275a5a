"""A page that diagnoses in the browser: the image never leaves it."""
