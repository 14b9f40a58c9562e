"""Faces in photos and renders: boxes and patches."""

import numpy as np
import pytest

from baseh3d_ns.data.dataset import HeadDataset
from baseh3d_ns.placing.config import FaceMatchConfig
from baseh3d_ns.placing.face_detection import CASCADES, find_faces, find_patches, frontal_face_votes, largest_face
from baseh3d_ns.placing.photos import small_photo

FACES = FaceMatchConfig()


def test_no_face_is_no_face():
    plain = np.full((200, 200, 3), 255, np.uint8)
    assert find_faces(plain, plain, FACES.min_width) is None and find_patches(plain, plain, FACES) == []
    assert frontal_face_votes(plain, FACES.min_width) == 0


def test_a_face_is_found_where_it_has_moved_to(person: HeadDataset):
    moves, patch_moves = [], []
    for view in range(len(person)):
        small = small_photo(person, view, FACES.render_size)
        photo = small.picture
        assert photo.shape == small.origins.shape == small.directions.shape
        pair = find_faces(photo, np.roll(photo, (7, -12), axis=(0, 1)), FACES.min_width)
        straight, mirrored = (
            largest_face(np.roll(photo, 25, axis=1), CASCADES[1][0], mirror, FACES.min_width)
            for mirror in (False, True)
        )
        if straight and mirrored:
            assert mirrored.x == pytest.approx(straight.x, abs=6.0)
        darker = (photo * 0.7).astype(np.uint8)
        patches = find_patches(np.roll(darker, (3, -5), axis=(0, 1)), photo, FACES)
        patch_moves += [(in_photo[1] - at[1], in_photo[0] - at[0]) for in_photo, at in patches]
        if pair:
            moves.append((pair[1].x - pair[0].x, pair[1].y - pair[0].y))
    assert len(moves) >= 2
    np.testing.assert_allclose(moves, [(-12.0, 7.0)] * len(moves), atol=4.0)
    # Where the boxes err by pixels, patches are exact, in another light too.
    assert len(patch_moves) >= 9 and np.mean([move == (-5, 3) for move in patch_moves]) > 0.9
