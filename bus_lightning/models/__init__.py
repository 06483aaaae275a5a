"""Networks as plain modules: images in, logits out; they know nothing of Lightning or Hydra."""
