"""From an ultrasound image to lesion, class, heat map and doubt, without PyTorch."""
