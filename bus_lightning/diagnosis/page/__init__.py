"""A local page that diagnoses images with a bundle, built with Gradio; it loads nothing from the internet."""
