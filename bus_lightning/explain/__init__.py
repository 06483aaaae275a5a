"""Heat maps of a classifier: how much each place of an image contributes to the predicted class.

May import everything from core to statistics.
"""
