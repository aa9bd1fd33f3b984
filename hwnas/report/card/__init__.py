"""The model card of a bundle: Markdown with its plots, from what the manifest says."""
