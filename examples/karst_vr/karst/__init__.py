"""Karst VR: a path-traced stereo panorama of a Guizhou tower-karst landscape (峰林)."""
