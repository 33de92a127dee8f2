"""Compares two versions of one chart: values, CRDs, images, metadata. Pure."""
