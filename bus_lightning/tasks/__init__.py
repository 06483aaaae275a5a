"""What is trained: LightningModules that know nothing of loggers or files."""
