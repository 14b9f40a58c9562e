"""Who synthetic subjects are: bodies and skulls as people have them."""

import numpy as np
import pytest

from baseh3d_ns.synthetic.anatomy import CANONICAL, EAR, load_body_model
from baseh3d_ns.synthetic.identity import draw_identity


def test_men_and_women_have_bodies_and_skulls_as_people_do():
    body = load_body_model()
    x, y, _ = body.attributes[:, CANONICAL].T
    above_eyes = (y > 5.0) & (body.attributes[:, EAR] < 0.1)
    sizes_mm: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
    for index in range(16):
        identity = draw_identity(3, index, body.local_change_labels)
        vertices = body.vertices_mm(identity.phenotypes, identity.local_changes)
        length = np.ptp(vertices[above_eyes & (np.abs(x) < 15.0), 2])
        sizes_mm[identity.is_male].append((np.ptp(vertices[:, 1]), length, np.ptp(vertices[above_eyes, 0])))
    (tall, long, broad), (her_tall, her_long, her_broad) = (np.mean(sizes_mm[male], axis=0) for male in (True, False))
    # At the same "height" of the body model; adults differ by 13 cm.
    assert tall > her_tall + 80.0
    assert [long, her_long] == pytest.approx([200.0, 190.0], abs=3.0)
    assert [broad, her_broad] == pytest.approx([154.0, 148.0], abs=7.0)
