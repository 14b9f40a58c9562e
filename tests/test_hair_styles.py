"""Hair as a shape space must know it: over the ears or behind them, cut steep or thin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from baseh3d_ns.synthetic.anatomy import BUST_DEPTH_MM, CANONICAL, EAR, HAIR, bare_head, load_body_model
from baseh3d_ns.synthetic.hair import grow_hair
from baseh3d_ns.synthetic.hair_style import STYLES, HairStyle
from baseh3d_ns.synthetic.identity import draw_identity
from baseh3d_ns.synthetic.rays import RayCaster
from baseh3d_ns.synthetic.sampling import sampled_identity
from baseh3d_ns.synthetic.surface import Surface


@pytest.fixture(scope="module")
def bare() -> Surface:
    body = load_body_model()
    return bare_head(body, draw_identity(3, 0, body.local_change_labels), BUST_DEPTH_MM)


def shell(bare: Surface, style: HairStyle) -> Surface:
    identity = draw_identity(3, 0, load_body_model().local_change_labels)
    hair = grow_hair(bare, replace(identity, hair=style))
    assert hair is not None and (hair.attributes[:, HAIR] == 1.0).all()
    return hair


def covered_ear(bare: Surface, hair: Surface) -> float:
    """Share of the left ear's outer side that hair hides from the left."""
    ear = bare.vertices_mm[(bare.attributes[:, EAR] > 0.5) & (bare.normals[:, 0] > 0.5)]
    assert len(ear) > 20
    side = np.tile([1.0, 0.0, 0.0], (len(ear), 1))
    return len(RayCaster(hair).first_hits(ear + 0.1 * side, side).ray) / len(ear)


def test_long_hair_hides_the_ears_or_hangs_behind_them(bare: Surface):
    over = shell(bare, STYLES["long"])
    behind = shell(bare, replace(STYLES["long"], behind_ears=True))
    assert covered_ear(bare, over) > 0.9
    assert covered_ear(bare, behind) < 0.3
    lowest = [hair.vertices_mm[:, 1].min() for hair in (over, behind, shell(bare, STYLES["short"]))]
    assert lowest[1] == pytest.approx(lowest[0], abs=20.0) and lowest[2] > lowest[1] + 40.0


def test_a_steep_edge_stands_out_above_the_ears(bare: Surface):
    def width(rise: float) -> float:
        hair = shell(bare, replace(STYLES["curly"], rise=rise))
        above = np.abs(hair.attributes[:, CANONICAL] - [0.0, 28.0, 0.0])[:, 1:].max(axis=1) < 8.0
        return float(2.0 * np.abs(hair.vertices_mm[above, 0]).mean())

    assert width(0.25) > width(1.1) + 4.0


def test_heads_of_a_shape_space_wear_their_hair_differently():
    labels = load_body_model().local_change_labels
    for index in range(4):
        photographed, sampled = draw_identity(3, index, labels), sampled_identity(3, index, labels)
        assert sampled.hair.rise != photographed.hair.rise and sampled.hair.top_mm == photographed.hair.top_mm
        assert replace(sampled, hair=photographed.hair) == photographed
    assert sampled_identity(3, 0, labels).hair.rise != sampled_identity(3, 1, labels).hair.rise


def test_styles_vary_as_drawn():
    def drawn(name: str) -> list[HairStyle]:
        return [STYLES[name].varied(np.random.default_rng(seed)) for seed in range(300)]

    long, short = drawn("long"), drawn("short")
    assert 0.3 < np.mean([style.behind_ears for style in long]) < 0.5
    assert {style.length_mm for style in long} == {STYLES["long"].length_mm}
    hanging = [style for style in short if style.length_mm > 0.0]
    assert 0.08 < len(hanging) / 300 < 0.22 and all(style.behind_ears for style in hanging)
    assert not any(style.length_mm for name in ("bald", "buzz", "bun") for style in drawn(name))
    sides = np.array([style.side_mm for style in short]) / STYLES["short"].side_mm
    assert 0.7 < sides.min() < 0.8 and 1.25 < sides.max() < 1.4
    assert STYLES["short"].varied(np.random.default_rng(7)) == short[7]
