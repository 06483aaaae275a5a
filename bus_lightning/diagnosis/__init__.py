"""From an ultrasound image to lesion, class, heat map and doubts: the command line and the page.

May import core and the parts of data that need no PyTorch.
"""
