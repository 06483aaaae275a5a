"""The page to try a bundle: built with Gradio, without anything from outside."""
