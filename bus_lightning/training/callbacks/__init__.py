"""What happens beside the training: history, pictures, checkpoints."""
