"""Supernets and teachers of a workspace."""
