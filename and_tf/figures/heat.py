"""Heat maps over images."""

from __future__ import annotations

import numpy as np
from PIL import Image


def heat_overlay(images: np.ndarray, heat: np.ndarray, strength: float = 0.65) -> np.ndarray:
    """Images in grey, with heat in colour above them.

    Args:
        images: uint8 [n, H, W, 3].
        heat: float [n, h, w], 0 or more; each map is scaled by its own maximum, and brought to the
            images' size.
        strength: Opacity of the greatest heat.

    Returns:
        uint8 [n, H, W, 3]. Where there is no heat, the image stands alone.
    """
    import matplotlib

    height, width = images.shape[1:3]
    colours = matplotlib.colormaps["inferno"]
    overlaid = []
    for image, values in zip(images, np.asarray(heat, np.float32), strict=True):
        peak = float(values.max(initial=0.0))
        scaled = Image.fromarray(values / peak if peak > 0 else values)
        scaled = scaled.resize((width, height), Image.Resampling.BILINEAR)
        shares = np.clip(np.asarray(scaled), 0, 1)[..., None]
        grey = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
        hot = 255 * colours(shares[..., 0])[..., :3]
        alpha = strength * np.sqrt(shares)  # weak heat is seen, too
        overlaid.append(np.rint((1 - alpha) * grey + alpha * hot).astype(np.uint8))
    return np.stack(overlaid)
