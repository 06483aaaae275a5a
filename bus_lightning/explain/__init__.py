"""Heat maps: where in the image a classifier's answer comes from, and whether such a map can be believed."""
