"""Heat maps of a classifier: how much each pixel of an image contributes to the predicted class.

May import everything from core to statistics.
"""
