"""Hair styles: shape parameters of the hair shell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class HairStyle:
    """Shape of the hair shell, in millimetres and degrees."""

    name: str
    """Key of `STYLES`."""
    top_mm: float
    """Thickness on the crown in millimetres."""
    side_mm: float
    """Thickness above the ears and at the nape in millimetres."""
    clump_mm: float
    """Height of the locks or curls in millimetres."""
    curly: float
    """Curliness: 0 straight strands, 1 curls of equal size in all directions."""
    recede_deg: float
    """Recession of the hairline at the forehead in degrees."""
    length_mm: float
    """Length of hair below the eyes in millimetres, at sides and back or `behind_ears`; 0: it ends at the nape."""
    bun_mm: float
    """Height of a knot at the back of the head in millimetres; 0: none."""
    cover: float
    """Opacity of the hair painted on the scalp below the shell, 0..1."""
    part: float = 0.0
    """Depth of a parting above the left eye, 0..1."""
    rise: float = 1.1
    """Distance from the hairline to full thickness, in thicknesses of the crown: small values overhang the ears."""
    behind_ears: bool = False
    """True: hanging hair leaves the ears free."""

    def varied(self, rng: np.random.Generator) -> HairStyle:
        """Random variation of the style: thickness of the sides, steep or thin edges, long hair behind the ears."""
        rise, side, tucked, grows, length = map(float, rng.uniform(size=5))
        long_nape = self.top_mm > 5.0 and self.bun_mm == 0.0 and grows < 0.15
        return replace(
            self,
            rise=0.25 + 0.95 * rise,
            side_mm=self.side_mm * float(np.exp(0.6 * (side - 0.5))),
            length_mm=40.0 + 80.0 * length if self.length_mm == 0.0 and long_nape else self.length_mm,
            behind_ears=tucked < 0.4 if self.length_mm > 0.0 else long_nape,
        )


STYLES = {
    "bald": HairStyle("bald", 0.0, 0.0, 0.0, 0.0, 30.0, 0.0, 0.0, 0.16),
    "buzz": HairStyle("buzz", 2.6, 1.8, 0.3, 0.92, 3.0, 0.0, 0.0, 0.85),
    "short": HairStyle("short", 17.0, 7.0, 2.6, 0.0, 0.0, 0.0, 0.0, 0.9),
    "crop": HairStyle("crop", 10.0, 4.5, 1.6, 0.35, 4.0, 0.0, 0.0, 0.9),
    "curly": HairStyle("curly", 27.0, 17.0, 5.5, 1.0, 0.0, 0.0, 0.0, 0.95),
    "bob": HairStyle("bob", 19.0, 17.0, 2.4, 0.0, -2.0, 75.0, 0.0, 0.95),
    "long": HairStyle("long", 17.0, 15.0, 2.6, 0.05, 0.0, 175.0, 0.0, 0.95),
    "bun": HairStyle("bun", 7.0, 5.0, 1.0, 0.0, -1.0, 0.0, 42.0, 0.95),
}
"""Styles by name, before they vary."""
